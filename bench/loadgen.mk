# The bench of the load client, and the environments of the load generators it is compared with.

.PHONY: bench-loadgen bench-loadgen-env

bench-loadgen: dev  ## Pilotage's load client against guidellm and aiperf: truth, arrivals, rate
	@$(BIN)/python bench/loadgen.py --json bench/results/loadgen.json $(ARGS)

bench-loadgen-env: .venv-guidellm/.installed .venv-aiperf/.installed  ## Environments of guidellm and aiperf

.venv-guidellm/.installed .venv-aiperf/.installed: .venv-%/.installed: requirements/bench-loadgen-%.txt
	@$(PYTHON) -m venv .venv-$*
	@echo "Installing $* into .venv-$* (some minutes, once) …"
	@nice -n 10 .venv-$*/bin/python -m pip --disable-pip-version-check install --quiet \
	  --no-deps --require-hashes --only-binary :all: -r $<
	@touch $@
