"""(d) The usual FastAPI handler around transformers' ``generate()``: `bench/peers/fastapi_app.py`.

One request at a time behind a lock, the answer whole, so its time to first token is its whole
latency. It runs in bf16 where the CPU multiplies bf16, else in fp32, which is faster there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.machine import has_bf16
from bench.peers.peer import HttpSystem, Peer, Setting, python_of
from bench.processes import free_port, server


@contextmanager
def running(setting: Setting) -> Iterator[HttpSystem]:
    """`bench/peers/fastapi_app.py`; see `Peer`."""
    python = python_of(".venv-bench", "bench-env")
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    dtype = "bfloat16" if has_bf16() else "float32"
    with server(
        "fastapi_transformers",
        [
            *(python, "bench/peers/fastapi_app.py", setting.dense()),
            *(dtype, str(port), str(setting.threads)),
        ],
        ready_url=f"{base}/health",
        ready_timeout_s=180,
        environment={"HF_HUB_OFFLINE": "1"},
        cpus=setting.cores.servers,
    ):
        yield HttpSystem(
            f"{base}/generate",
            lambda prompt, tokens: {
                "prompt": prompt,
                "max_new_tokens": tokens,
                "min_new_tokens": tokens,
            },
            setting.cores.client,
        )


PEER = Peer(
    "fastapi_transformers",
    "d",
    "FastAPI around transformers generate()",
    running,
    serial=True,
    note="one request at a time; not streamed, so TTFT is the whole latency",
)
