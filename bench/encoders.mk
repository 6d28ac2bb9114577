# The bench of encoders: replicas on cores of their own.

.PHONY: bench-encoders

bench-encoders: dev  ## Two workers on two cores serve an encoder at 1.8 x one
	@$(BIN)/python bench/encoders.py --json bench/results/encoders.json $(ARGS)
