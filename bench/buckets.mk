# The bench of compiled buckets: how much of what is computed is of use.

.PHONY: bench-buckets

bench-buckets: dev  ## Compiled buckets against one fixed length of 128, at 1.8 x
	@$(BIN)/python bench/buckets.py --json bench/results/buckets.json $(ARGS)
