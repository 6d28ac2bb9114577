"""(c) llama-cpp-python's own server, on the same GGUF file.

It answers one request at a time. Left at its defaults a new request cuts the stream that runs;
``--interrupt_requests false`` turns that off, else no stream but the last would end. It knows no
``ignore_eos``; ``min_tokens`` keeps the end token away instead. It sends no ``usage`` in a
stream, so the pieces of content are counted, one token each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.peers.peer import HttpSystem, Peer, Setting, chat_body, python_of, served_model
from bench.processes import free_port, server


@contextmanager
def running(setting: Setting) -> Iterator[HttpSystem]:
    """``python -m llama_cpp.server``; see `Peer`."""
    python = python_of(".venv-bench", "bench-env")
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with server(
        "llama_cpp_python",
        [
            *(python, "-m", "llama_cpp.server", "--model", setting.gguf),
            *("--host", "127.0.0.1", "--port", str(port), "--interrupt_requests", "false"),
            *("--n_ctx", "2048", "--verbose", "false"),
            *("--n_threads", str(setting.threads), "--n_threads_batch", str(setting.threads)),
        ],
        ready_url=f"{base}/v1/models",
        ready_timeout_s=120,
        cpus=setting.cores.servers,
    ):
        model = served_model(base)
        yield HttpSystem(
            f"{base}/v1/chat/completions",
            lambda prompt, tokens: chat_body(model, prompt, tokens, min_tokens=tokens),
            setting.cores.client,
        )


PEER = Peer(
    "llama_cpp_python",
    "c",
    "llama-cpp-python's server",
    running,
    serial=True,
    note="one request at a time by its nature; tokens counted as pieces of content",
)
