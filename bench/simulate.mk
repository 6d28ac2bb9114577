# The bench of the planner's simulation, and the environment of the simulator it is compared with.

.PHONY: bench-simulate bench-simulate-env

bench-simulate: dev  ## The simulation's speed against vllm-sr-sim, and its agreement with queueing theory
	@$(BIN)/python bench/simulate.py --json bench/results/simulate.json $(ARGS)

bench-simulate-env: .venv-sim/.installed  ## Environment of vllm-sr-sim

.venv-sim/.installed: bench/simulate.mk
	@$(PYTHON) -m venv .venv-sim
	@.venv-sim/bin/python -m pip --disable-pip-version-check install --quiet \
	  --only-binary :all: vllm-sr-sim==0.1.0.dev20260713123629
	@touch $@
