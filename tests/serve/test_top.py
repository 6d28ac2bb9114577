"""``pilotage top`` against a real server that generates, and whose worker dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest
from running import RunningServer, serving

from pilotage.cli.top_figures import Figures
from pilotage.cli.top_watch import Watch


def generate(server: RunningServer, stop: threading.Event) -> None:
    body = {"model": "tiny", "prompt": "Once upon a time", "max_tokens": 16}
    while not stop.is_set():
        httpx.post(f"{server.url}/completions", json=body, timeout=120, trust_env=False)


def figures_until(watch: Watch, seconds: float, wanted: str) -> Figures:
    """The first figures in which something is not None and not 0."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        moment = watch.look()
        assert moment.error is None
        assert moment.figures is not None
        holders = (moment.figures, *moment.figures.models, *moment.figures.slices)
        if any(getattr(holder, wanted, None) for holder in holders):
            return moment.figures
        time.sleep(0.3)
    raise AssertionError(f"no {wanted} in {seconds} s")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_server_is_watched(embedded_model: Path) -> None:
    with serving(str(embedded_model), "--ttft-p99", "120s", "--served-name", "tiny") as server:
        watch = Watch(server.url, key=None, key_name="PILOTAGE_API_KEY")
        stop = threading.Event()
        load = threading.Thread(target=generate, args=(server, stop))
        load.start()
        try:
            busy = figures_until(watch, 120, "utilisation")
            (slice_,) = busy.slices
            assert slice_.up
            assert slice_.kv_tokens > 0
            assert slice_.utilisation is not None
            assert 0 < slice_.utilisation <= 1
            assert figures_until(watch, 120, "tokens_per_s").slices[0].tokens_per_s
            answered = figures_until(watch, 120, "ttft_p50_s")
            assert answered.models[0].model == "tiny"
        finally:
            stop.set()
            load.join()
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        again = figures_until(watch, 120, "restarts")
        assert again.slices[0].restarts == 1
        assert server.stop() == 0
        moment = watch.look()
        assert moment.error is not None
        assert "cannot be reached" in str(moment.error)
        watch.close()
