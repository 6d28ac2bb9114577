"""A ModelControl without workers, for tests of what stands in front of one."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import uvicorn

from pilotage.errors import PilotageError
from pilotage.serve.api import FixedModels, GatewayContext, Health, create_app
from pilotage.serve.control import AliasTarget, ModelStatus, ReplicaStatus
from pilotage.serve.keys import KeyStore
from pilotage.serve.models.aliases import AliasTable
from pilotage.serve.telemetry.metrics import Metrics


def loaded(name: str, worker: int = 0, **changes: Any) -> ModelStatus:
    """A model that is ready on one worker."""
    status = ModelStatus(
        name=name,
        source=f"file:///models/{name}.gguf",
        engine="openvino",
        task="generate",
        state="ready",
        replicas=(ReplicaStatus(
            worker=worker, device=f"cpu:{worker}", state="ready", running=1, memory_bytes=300 << 20
        ),),
        queued=2,
        last_used_s=12.5,
    )  # fmt: skip
    return msgspec.structs.replace(status, **changes)


def unloaded(name: str, **changes: Any) -> ModelStatus:
    """A model that is not loaded."""
    bare: dict[str, Any] = {"state": "unloaded", "replicas": (), "queued": 0, "last_used_s": None}
    return loaded(name, **bare | changes)


@dataclass
class FakeModelControl:
    """Loads and unloads at once, unless it is to fail; the aliases are real ones."""

    known: dict[str, ModelStatus]
    failure: PilotageError | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.table = AliasTable({}, lambda: self.known)

    @staticmethod
    def of(*models: ModelStatus) -> FakeModelControl:
        """One that knows these models."""
        return FakeModelControl({model.name: model for model in models})

    def models(self) -> tuple[ModelStatus, ...]:
        return tuple(self.known.values())

    async def load(self, name: str) -> ModelStatus:
        return self._become("load", loaded(name))

    async def unload(self, name: str) -> ModelStatus:
        return self._become("unload", unloaded(name))

    def aliases(self) -> dict[str, tuple[AliasTarget, ...]]:
        return self.table.all()

    def set_alias(self, name: str, targets: tuple[AliasTarget, ...]) -> None:
        self.table.set(name, targets)

    def remove_alias(self, name: str) -> None:
        self.table.remove(name)

    def _become(self, asked: str, status: ModelStatus) -> ModelStatus:
        self.asked.append((asked, status.name))
        if self.failure is not None:
            raise self.failure
        self.known[status.name] = status
        return status


@contextlib.contextmanager
def steered(control: FakeModelControl | None, keys: KeyStore | None = None) -> Iterator[str]:
    """The address of a real API in front of a control, with nothing that could be inferred."""
    metrics = Metrics([])
    context = GatewayContext(
        models=FixedModels(()),
        health=lambda: Health("ready"),
        metrics=metrics,
        render_metrics=metrics.render,
        keys=keys,
        control=control,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(context), log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
