"""(b) Pilotage over HTTP, streaming: the command a user types, with a spec that fixes the batch.

The TTFT target is set far away: this bench measures capacity, so nothing may be shed.
`bench/overload.py` measures shedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from bench.peers.peer import HttpSystem, NotMeasurable, Peer, Setting, chat_body, served_model
from bench.processes import RESULTS, ROOT, free_port, server


@contextmanager
def running(setting: Setting) -> Iterator[HttpSystem]:
    """``pilotage serve``; see `Peer`."""
    command = ROOT / ".venv" / "bin" / "pilotage"
    if not command.exists():
        raise NotMeasurable(".venv is not installed: run `make install`")
    spec = RESULTS / "pilotage-bench.yaml"
    spec.parent.mkdir(parents=True, exist_ok=True)
    spec.write_text(
        yaml.safe_dump(
            {
                "name": "bench",
                "model": {"source": str(setting.gguf)},
                "slo": {"ttft_p99": "600s"},
                "serving": {
                    "max_num_seqs": setting.max_num_seqs,
                    "max_num_batched_tokens": setting.max_num_batched_tokens,
                    "kv_cache": f"{setting.kv_cache_gib}GiB",
                },
            }
        )
    )
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with server(
        "pilotage",
        [command, "serve", spec, "--port", str(port)],
        ready_url=f"{base}/health/ready",
        ready_timeout_s=180,
        cpus=setting.cores.servers,
    ):
        model = served_model(base)
        yield HttpSystem(
            f"{base}/v1/chat/completions",
            lambda prompt, tokens: chat_body(
                model,
                prompt,
                tokens,
                ignore_eos=True,
                stream_options={"include_usage": True},
            ),
            setting.cores.client,
        )


PEER = Peer("pilotage", "b", "Pilotage over HTTP, streaming", running)
