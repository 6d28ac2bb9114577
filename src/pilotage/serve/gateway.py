"""The gateway process: the API in front of the workers' pool, and its drain."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn

from pilotage.errors import PilotageError
from pilotage.serve.api import create_app
from pilotage.serve.api.context import (
    FixedModels,
    GatewayContext,
    Health,
    Limits,
    ServedModel,
)
from pilotage.serve.board import Board, State
from pilotage.serve.config import FATAL_EXIT, GatewayConfig, read_config
from pilotage.serve.keys import KeyStore
from pilotage.serve.pool import WorkerPool
from pilotage.serve.rate_limits import RateLimiter
from pilotage.serve.telemetry import logs
from pilotage.serve.telemetry.metrics import Metrics
from pilotage.serve.telemetry.snapshot import Snapshot, WorkerSnapshot
from pilotage.serve.telemetry.tracing import open_tracer
from pilotage.spec import Deployment
from pilotage.tokens import Tokenizer

_BEAT_S: Final = 0.5
_KEEP_ALIVE_S: Final = 75
CUT_OFF_EXIT: Final = 1
"""Exit code when the drain deadline passed with requests in flight."""

_REASONS: Final = {
    "loading": "the model is loading",
    "ready": "a model answers",
    "stalled": "no worker makes progress",
    "draining": "the server is shutting down",
}
_log = logging.getLogger("pilotage.gateway")


class InFlight:
    """Counts the HTTP requests that are being answered, so that a drain knows when it is done."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.count = 0
        self.idle = asyncio.Event()
        self.idle.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on."""
        self.count += 1
        self.idle.clear()
        try:
            await self._app(scope, receive, send)
        finally:
            self.count -= 1
            if not self.count:
                self.idle.set()


class _Server(uvicorn.Server):
    """Uvicorn, without signal handlers of its own: the gateway decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Gateway:
    """Wires the API to the pool and runs both.

    Args:
        config: What the supervisor said.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._board = Board(Path(config.board))
        self._worker_boards = [Board(Path(worker.board)) for worker in config.workers]
        deployment = Deployment.model_validate_json(config.deployment)
        serving = deployment.serving
        logs.configure(config.log_format, config.log_level)
        self._drain_timeout_s = serving.drain_timeout
        name = deployment.model_name
        self._metrics = Metrics([name])
        self._metrics.watch(self._snapshot)
        self._pool = WorkerPool(
            [worker.socket for worker in config.workers],
            ttft_target_s=deployment.ttft_target,
            queue_timeout_s=deployment.queue_timeout,
            stalled_after_s=serving.hang_timeout,
            on_step=self._on_step,
        )
        self._tracer = open_tracer(serving.otlp_endpoint, f"pilotage {deployment.name}")
        model = ServedModel(
            name=name,
            tokenizer=Tokenizer.open(Path(config.model_path)),
            dispatcher=self._pool,
            info=self._pool.info,
            created=config.created,
            max_model_len=config.max_model_len,
        )
        self._app = InFlight(
            create_app(
                GatewayContext(
                    models=FixedModels((model,)),
                    health=self._health,
                    metrics=self._metrics,
                    render_metrics=self._metrics.render,
                    keys=KeyStore(Path(config.key_file)),
                    rate_limits=RateLimiter(),
                    limits=Limits(
                        max_body_bytes=serving.max_body,
                        max_n=serving.max_n,
                        request_timeout_s=serving.request_timeout,
                    ),
                    tracer=self._tracer,
                )
            )
        )

    async def run(self) -> int:
        """Serve until told to stop; returns the exit code."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        # Nothing is ever written to stdin: readable means that the supervisor is gone.
        orphaned = asyncio.Event()
        loop.add_reader(sys.stdin.fileno(), orphaned.set)
        server = _Server(
            uvicorn.Config(
                self._app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
            )
        )
        listener = socket.socket(fileno=self._config.listener_fd)
        tasks = [
            asyncio.create_task(server.serve(sockets=[listener])),
            asyncio.create_task(self._pool.run()),
            asyncio.create_task(self._beat()),
            asyncio.create_task(orphaned.wait()),
        ]
        stopping = asyncio.create_task(stop.wait())
        gc.collect()
        gc.freeze()  # what start-up made lives on: the collector need not look at it again
        done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        code = 0
        if stopping in done:
            code = await self._drain()
        else:
            for task in done:
                task.result()  # a task that failed ends the process with its error
        server.should_exit = True
        await asyncio.wait([tasks[0]], timeout=1.0)
        self._board.state = State.STOPPED
        self._tracer.shutdown()
        return code

    async def _drain(self) -> int:
        """Refuse what is new and finish what is in flight, within the deadline."""
        self._pool.draining = True
        self._board.state = State.DRAINING
        try:
            await asyncio.wait_for(self._app.idle.wait(), self._drain_timeout_s)
        except TimeoutError:
            _log.error("%d requests were cut off by the drain deadline", self._app.count)
            return CUT_OFF_EXIT
        return 0

    async def _beat(self) -> None:
        """Show the supervisor that the event loop turns."""
        while True:
            if self._board.state is State.STARTING and self._pool.state().state == "ready":
                self._board.state = State.READY
            self._board.beat(running=self._app.count)
            await asyncio.sleep(0.05 if self._board.state is State.STARTING else _BEAT_S)

    def _on_step(self, worker: int, duration_s: float, running: int, new_tokens: int) -> None:
        self._metrics.step(str(worker), duration_s, running, new_tokens)

    def _health(self) -> Health:
        pool = self._pool.state()
        details = {
            "queued": pool.queued_requests,
            "running": pool.running,
            "workers": [
                {"worker": link.index, "up": link.up, "running": len(link.held)}
                for link in pool.workers
            ],
        }
        return Health(pool.state, _REASONS[pool.state], details)

    def _snapshot(self) -> Snapshot:
        pool = self._pool.state()
        boards = list(zip(pool.workers, self._worker_boards, strict=True))
        return Snapshot(
            queue_requests=pool.queued_requests,
            queue_tokens=pool.queued_tokens,
            retries=pool.retries,
            workers=tuple(
                WorkerSnapshot(
                    worker=str(link.index),
                    up=link.up,
                    restarts=board.restarts,
                    running_requests=len(link.held),
                    kv_cache_usage_ratio=link.kv_cache_usage,
                    kv_cache_tokens=link.info.kv_cache_tokens if link.info else 0,
                    prefill_tokens_per_s=link.prefill_tokens_per_s,
                )
                for link, board in boards
            ),
            cpu_s={
                "gateway": time.process_time(),
                **{f"worker-{link.index}": board.cpu_s for link, board in boards},
            },
        )


def main(arguments: Sequence[str]) -> int:
    """Run the gateway; its only argument is the config file that the supervisor wrote."""
    config = read_config(Path(arguments[0]), GatewayConfig)
    try:
        gateway = Gateway(config)
    except PilotageError as error:
        Path(config.errors).write_text(json.dumps(error.as_dict()))
        return FATAL_EXIT
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(gateway.run())


def _loop_factory() -> Any:
    try:
        import uvloop  # noqa: PLC0415  not on Windows
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
