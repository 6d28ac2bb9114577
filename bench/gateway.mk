# The benches of the gateway and of the local cascade, and what they are compared with.

.PHONY: bench-route bench-gateway bench-gateway-env bench-cascade cascade-model

bench-gateway: dev  ## The gateway's added latency and requests/s a core, against LiteLLM and vllm-router
	@$(BIN)/python -m bench.gateway --json bench/results/gateway.json $(ARGS)

bench-cascade: dev cascade-model  ## A real cascade of two local models on GSM8K and support questions
	@$(BIN)/python -m bench.cascade --json bench/results/cascade.json $(ARGS)

cascade-model: dev  ## Fetch the cascade's big tier, Qwen2.5-Coder-1.5B (1.1 GB, once)
	@$(BIN)/python -m bench.cascade_model

bench-gateway-env: .venv-gateway/.installed  ## Environment of LiteLLM's proxy and vllm-router

.venv-gateway/.installed: requirements/bench-gateway.txt
	@$(PYTHON) -m venv .venv-gateway
	@echo "Installing LiteLLM and vllm-router into .venv-gateway (some minutes, once) …"
	@nice -n 10 .venv-gateway/bin/python -m pip --disable-pip-version-check install --quiet \
	  --no-deps --require-hashes --only-binary :all: -r $<
	@touch $@

bench-route: dev  ## Routing on published scores: means over random splits (needs ../shared/data/routing)
	@$(BIN)/python -m bench.route_splits $(ARGS)
