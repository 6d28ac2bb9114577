# Real engines of their own behind our gateway: vLLM's CPU build, and llama-server where it is named.

.PHONY: test-vllm

test-vllm: dev .venv-vllm/.installed  ## The API in front of vLLM (CPU) serving the default model (minutes)
	@PILOTAGE_TEST_VLLM=$${PILOTAGE_TEST_VLLM:-.venv-vllm/bin/python} \
	  $(BIN)/python -m pytest -m slow tests/vllm $(ARGS)
