"""The gateway's real API over a dispatcher that answers at once, with a clock on its event loop.

``python -m bench.image_server PORT MODEL`` serves ``/infer`` for a model with eyes, and tells at
``/bench/stalls`` how long its event loop was held up since it was last asked.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from pilotage.engines.engine import EngineInfo
from pilotage.images import VisionInput
from pilotage.serve.api import FixedModels, GatewayContext, Health, ServedModel, create_app
from pilotage.serve.generation import SubmitRequest, TokenChunk
from pilotage.serve.images import ImageLoader
from pilotage.serve.telemetry.metrics import Metrics
from pilotage.tokens import Tokenizer

SIDE = 1120
"""Pixels of the model's image: four tiles of Llama 3.2 Vision."""

BICUBIC = 3
STALLS_PATH = "/bench/stalls"
_TICK_S = 0.001
_CONTEXT = 8192


class Stalls(msgspec.Struct):
    """How late an event loop came to a timer of a millisecond.

    Attributes:
        longest_ms: The longest delay.
        over_10_ms: How many were longer than 10 ms.
        own_longest_ms: The longest without the time in which the loop's thread was ready to run
            and had no core, as the kernel counts it; not a number where it does not.
        own_over_10_ms: How many of those were longer than 10 ms.
        ticks: Timers.
    """

    longest_ms: float = 0.0
    over_10_ms: int = 0
    own_longest_ms: float = 0.0
    own_over_10_ms: int = 0
    ticks: int = 0


class _RunDelay:
    """Milliseconds that this thread has waited for a core (Linux, proc(5): schedstat)."""

    def __init__(self) -> None:
        try:
            self._file: int | None = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        except OSError:
            self._file = None

    def __call__(self) -> float:
        if self._file is None:
            return math.nan
        return int(os.pread(self._file, 128, 0).split()[1]) / 1e6


class StallClock:
    """Measures how late its event loop is."""

    def __init__(self) -> None:
        self._stalls = Stalls()

    async def run(self) -> None:
        """Tick for ever."""
        waited = _RunDelay()
        last, last_waited = time.perf_counter(), waited()
        while True:
            await asyncio.sleep(_TICK_S)
            now, now_waited = time.perf_counter(), waited()
            late_ms = 1000 * (now - last - _TICK_S)
            own_ms = late_ms - (now_waited - last_waited)
            last, last_waited = now, now_waited
            stalls = self._stalls
            stalls.longest_ms = max(stalls.longest_ms, late_ms)
            stalls.over_10_ms += late_ms > 10
            stalls.own_longest_ms = max(stalls.own_longest_ms, own_ms)
            stalls.own_over_10_ms += own_ms > 10
            stalls.ticks += 1

    def taken(self) -> Stalls:
        """What was measured since the last call."""
        taken, self._stalls = self._stalls, Stalls()
        return taken


class _Answered:
    """A generation of one token."""

    queue_s: float | None = 0.0

    async def __aiter__(self) -> AsyncIterator[TokenChunk]:
        yield TokenChunk([1], None, "stop")

    def cancel(self) -> None:
        """There is nothing to stop."""


class FakeDispatcher:
    """Stands in for workers: answers at once, so that all time is the front's."""

    def submit(self, requests: list[SubmitRequest]) -> list[_Answered]:
        """One answer for each."""
        return [_Answered() for _ in requests]

    def check(self, requests: list[SubmitRequest]) -> None:
        """Everything is admitted."""


class _WithStalls:
    def __init__(self, app: ASGIApp, clock: StallClock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != STALLS_PATH:
            await self._app(scope, receive, send)
            return
        body = msgspec.json.encode(self._clock.taken())
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def vision() -> VisionInput:
    """What the model looks at."""
    return VisionInput(
        family="bench",
        width=SIDE,
        height=SIDE,
        image_token="<file_sep>",
        preprocessor={"resample": BICUBIC},
    )


def _app(model: Path) -> tuple[ASGIApp, ImageLoader]:
    info = EngineInfo(
        engine="none",
        max_model_len=_CONTEXT,
        max_num_seqs=64,
        max_num_batched_tokens=_CONTEXT,
        kv_cache_tokens=_CONTEXT,
        kv_cache_bytes=0,
        prefill_tokens_per_s=1.0,
        load_s=0.0,
    )
    served = ServedModel(
        "bench", Tokenizer.open(model), FakeDispatcher(), lambda: info, 0, vision=vision()
    )
    metrics = Metrics(["bench"])
    images = ImageLoader()
    context = GatewayContext(
        models=FixedModels((served,)),
        health=lambda: Health("ready"),
        metrics=metrics,
        render_metrics=metrics.render,
        images=images,
    )
    return create_app(context), images


async def _serve(port: int, model: Path) -> None:
    clock = StallClock()
    app, images = _app(model)
    await images.start()
    server = uvicorn.Server(
        uvicorn.Config(
            _WithStalls(app, clock),
            port=port,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
        )
    )
    gc.collect()
    gc.freeze()  # as the gateway does
    ticking = asyncio.create_task(clock.run())
    await server.serve()
    ticking.cancel()
    images.close()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
