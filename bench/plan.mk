# The planner's predictions against published measurements; included by bench/bench.mk.

.PHONY: bench-plan bench-plan-host

bench-plan: dev  ## The planner's error, fitted on part and reported on the rest
	@$(BIN)/python bench/plan_accuracy.py $(ARGS)

bench-plan-host: dev  ## The planner against this machine: calibrated, predicted, measured; wants quiet
	@$(BIN)/python -m bench.plan_host $(ARGS)
