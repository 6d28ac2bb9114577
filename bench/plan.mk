# The planner's predictions against published measurements; included by bench/bench.mk.

.PHONY: bench-plan

bench-plan: dev  ## The planner's error, fitted on part and reported on the rest
	@$(BIN)/python bench/plan_accuracy.py $(ARGS)
