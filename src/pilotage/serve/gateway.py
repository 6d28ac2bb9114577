"""The gateway process: the API in front of the models' pools, and its drain."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from pilotage.errors import PilotageError
from pilotage.images import ImageLimits
from pilotage.serve.api import create_app
from pilotage.serve.api.app import bare
from pilotage.serve.api.context import (
    GatewayContext,
    Health,
    HealthState,
    Limits,
    ServedModel,
)
from pilotage.serve.board import Board, State
from pilotage.serve.config import FATAL_EXIT, GatewayConfig, ModelConfig, read_config
from pilotage.serve.external.backend import ExternalBackend
from pilotage.serve.external.engine_metrics import merged_exposition
from pilotage.serve.external.external_model import ExternalServedModel, external_model
from pilotage.serve.external.planning import endpoint_file
from pilotage.serve.http_server import GatheringProtocol, InFlight, QuietServer
from pilotage.serve.images import ImageLoader
from pilotage.serve.keys import KeyStore
from pilotage.serve.models.fleet import Fleet
from pilotage.serve.models.managed import ManagedModel
from pilotage.serve.models.manager import ModelManager
from pilotage.serve.models.planned import spec_aliases
from pilotage.serve.models.saved_state import StateFile
from pilotage.serve.pool import WorkerPool
from pilotage.serve.rate_limits import RateLimiter
from pilotage.serve.telemetry import logs
from pilotage.serve.telemetry.metrics import Metrics
from pilotage.serve.telemetry.snapshot import Snapshot
from pilotage.serve.telemetry.tracing import open_tracer
from pilotage.serve.worker_snapshot import worker_snapshot
from pilotage.spec import Deployment
from pilotage.tokens import Tokenizer

if TYPE_CHECKING:
    from pilotage.serve.routing.routing import Routing

_BEAT_S: Final = 0.5
_KEEP_ALIVE_S: Final = 75
_OUTLIVES_BALANCER_S: Final = 30
CUT_OFF_EXIT: Final = 1
"""Exit code when the drain deadline passed with requests in flight."""

_REASONS: Final = {
    "loading": "the model is loading",
    "ready": "a model answers",
    "stalled": "no worker makes progress",
    "draining": "the server is shutting down",
}
_log = logging.getLogger("pilotage.gateway")


class Gateway:
    """Wires the API to the pools and runs both.

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
        self._stalled_after_s = serving.hang_timeout
        # A balancer in front keeps idle connections as long as an answer may take. If this end
        # closed them first, a request on its way would be lost (a 502).
        self._keep_alive_s = max(
            _KEEP_ALIVE_S, math.ceil(serving.request_timeout) + _OUTLIVES_BALANCER_S
        )
        self._was_ready = False
        self._draining = False
        names = [model.name for model in config.models]
        routed = deployment.routing
        self._metrics = Metrics(names if routed is None else [*names, *routed.tier_names])
        self._metrics.watch(self._snapshot)
        inside = [model for model in config.models if model.placed]
        self._pools = {model.name: self._pool(model, deployment) for model in inside}
        self._fleet = Fleet([worker.socket for worker in config.workers], self._pools)
        self._external = [
            self._external_model(model, deployment) for model in config.models if not model.placed
        ]
        self._manager = ModelManager(
            [self._managed_model(model) for model in inside],
            self._fleet,
            external=self._external,
            order=names,
            budgets=config.budgets,
            devices=[worker.device.name for worker in config.workers],
            aliases=spec_aliases(serving),
            state=StateFile(Path(config.state)),
            load_timeout_s=serving.load_timeout,
            idle_unload_s=serving.idle_unload,
        )
        self._tracer = open_tracer(serving.otlp_endpoint, f"pilotage {deployment.name}")
        images = serving.images
        self._images = ImageLoader(
            ImageLimits(
                max_bytes=images.max_bytes,
                max_pixels=images.max_pixels,
                max_count=images.max_count,
            ),
            url_hosts=images.url_hosts,
            url_timeout_s=images.url_timeout,
            max_held=images.max_held,
        )
        context = GatewayContext(
            models=self._manager,
            control=self._manager,
            health=self._health,
            metrics=self._metrics,
            render_metrics=self._render_metrics,
            keys=KeyStore(Path(config.key_file)),
            platform_only=serving.access == "platform",
            rate_limits=RateLimiter(),
            limits=Limits(
                max_body_bytes=serving.max_body,
                max_n=serving.max_n,
                request_timeout_s=serving.request_timeout,
            ),
            tracer=self._tracer,
            images=self._images,
        )
        self._routing = self._opened_routing(context, deployment)
        self._app = InFlight(bare(create_app(replace(context, routing=self._routing))))

    async def run(self) -> int:
        """Serve until told to stop; returns the exit code."""
        loop = asyncio.get_running_loop()
        logs.batch(loop)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        # Nothing is ever written to stdin: readable means that the supervisor is gone.
        orphaned = asyncio.Event()
        loop.add_reader(sys.stdin.fileno(), orphaned.set)
        server = QuietServer(
            uvicorn.Config(
                self._app,
                http=GatheringProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=self._keep_alive_s,
            )
        )
        listener = socket.socket(fileno=self._config.listener_fd)
        tasks = [
            asyncio.create_task(server.serve(sockets=[listener])),
            # Without workers there is no fleet to run, and a task that ends would end the gateway.
            *(asyncio.create_task(self._fleet.run()) for _ in self._fleet.links[:1]),
            asyncio.create_task(self._manager.run()),
            *(asyncio.create_task(model.backend.run()) for model in self._external),
            asyncio.create_task(self._beat()),
            asyncio.create_task(orphaned.wait()),
        ]
        stopping = asyncio.create_task(stop.wait())
        if any(model.vision for model in self._manager.all()):
            await self._images.start()  # so that the first image does not wait for it
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
        if self._routing is not None:
            await self._routing.close()
        await asyncio.wait([tasks[0]], timeout=1.0)
        self._board.state = State.STOPPED
        self._tracer.shutdown()
        self._images.close()
        return code

    async def _drain(self) -> int:
        """Refuse what is new and finish what is in flight, within the deadline."""
        self._draining = True
        for pool in self._pools.values():
            pool.draining = True
        for model in self._external:
            model.backend.draining = True
        if self._routing is not None:
            self._routing.drain()
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
            if self._board.state is State.STARTING and self._health().state == "ready":
                self._board.state = State.READY
            self._board.beat(running=self._app.count)
            await asyncio.sleep(0.05 if self._board.state is State.STARTING else _BEAT_S)

    def _on_step(self, worker: int, duration_s: float, running: int, new_tokens: int) -> None:
        self._metrics.step(str(worker), duration_s, running, new_tokens)

    def _health(self) -> Health:
        reachable = self._routing is not None and self._routing.reachable
        self._was_ready = self._was_ready or self._manager.ready or reachable
        state: HealthState = "ready"
        if self._draining:
            state = "draining"
        elif not self._was_ready:
            state = "loading"
        elif not reachable and not self._alive():
            state = "stalled"
        pools = [pool.state() for pool in self._pools.values()]
        details = {
            "queued": sum(pool.queued_requests for pool in pools),
            "running": sum(pool.running for pool in pools),
            "workers": [
                {
                    "worker": link.index,
                    "up": link.up,
                    "running": sum(len(replica.held) for replica in link.replicas.values()),
                }
                for link in self._fleet.links
            ],
        }
        return Health(state, _REASONS[state], details)

    def _alive(self) -> bool:
        """Whether anything answers: a worker, or without workers a server of its own."""
        if self._fleet.links:
            return self._fleet.alive(self._stalled_after_s)
        return any(model.backend.up for model in self._external)

    def _snapshot(self) -> Snapshot:
        pools = [pool.state() for pool in self._pools.values()]
        statuses = self._manager.models()
        boards = list(zip(self._fleet.links, self._worker_boards, strict=True))
        return Snapshot(
            queue_requests=sum(pool.queued_requests for pool in pools),
            queue_tokens=sum(pool.queued_tokens for pool in pools),
            retries=sum(pool.retries for pool in pools),
            queue_by_model={status.name: status.queued for status in statuses},
            workers=tuple(
                worker_snapshot(link, board, worker.device.name, statuses)
                for (link, board), worker in zip(boards, self._config.workers, strict=True)
            ),
            cpu_s={
                "gateway": time.process_time(),
                **{f"worker-{link.index}": board.cpu_s for link, board in boards},
            },
        )

    def _render_metrics(self) -> bytes:
        """Our own metrics, then those of the engines that are servers of their own."""
        others = [(model.backend.metrics_text, model.backend.labels()) for model in self._external]
        return self._metrics.render() + merged_exposition(others)

    def _external_model(self, model: ModelConfig, deployment: Deployment) -> ExternalServedModel:
        """A model whose engine is a server of its own; its keeper says where it answers."""
        folder = Path(self._config.state).parent
        backend = ExternalBackend(
            model.name,
            endpoint_file(folder, model.name),
            ttft_target_s=deployment.ttft_target,
            patience_s=deployment.queue_timeout,
        )
        return external_model(
            backend,
            path=Path(model.path),
            source=model.source,
            engine=model.engine,
            task=model.task,
            created=self._config.created,
            max_model_len=model.max_model_len,
        )

    def _opened_routing(self, context: GatewayContext, deployment: Deployment) -> Routing | None:
        """What routes, with a ``routing:`` section."""
        if deployment.routing is None:
            return None
        # Here, so that a server without one imports nothing of it.
        from pilotage.serve.routing.opening import open_routing  # noqa: PLC0415

        routing = open_routing(
            context,
            deployment,
            deployment.routing,
            self._config.prices,
            environ=os.environ,
            created=self._config.created,
        )
        self._metrics.show(routing.metrics.collect)
        return routing

    def _pool(self, model: ModelConfig, deployment: Deployment) -> WorkerPool:
        return WorkerPool(
            ttft_target_s=deployment.ttft_target,
            queue_timeout_s=deployment.queue_timeout,
            stalled_after_s=deployment.serving.hang_timeout,
            placed=[placed.worker for placed in model.placed],
            on_step=self._on_step,
            on_wanted=lambda: self._manager.wanted_by_request(model.name),
        )

    def _managed_model(self, model: ModelConfig) -> ManagedModel:
        """A model that workers hold."""
        pool = self._pools[model.name]
        served = ServedModel(
            name=model.name,
            tokenizer=Tokenizer.open(Path(model.path)),
            dispatcher=pool,
            info=pool.info,
            created=self._config.created,
            max_model_len=model.max_model_len,
            task=model.task,
            vision=model.vision,
            labels=model.labels,
        )
        return ManagedModel(model, served, pool)


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
