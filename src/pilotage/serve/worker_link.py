"""The gateway's end of the link to one worker: connects, reconnects, knows the engines there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from pilotage.engines.config import EngineConfig
from pilotage.errors import PilotageError
from pilotage.serve.link import (
    FrameDecoder,
    Hello,
    Load,
    Loaded,
    LoadFailed,
    Step,
    ToGateway,
    ToWorker,
    Unload,
    Unloaded,
    encode,
)
from pilotage.serve.models.replica import Replica, ReplicaListener

_RETRY_S: Final = 0.1
_READ: Final = 1 << 18

F = TypeVar("F")
_log = logging.getLogger("pilotage.gateway")


class LinkListener(Protocol):
    """Who is told of the worker itself; its engines' news go to their models' pools."""

    def pool_of(self, model: str) -> ReplicaListener | None:
        """The pool of a model; None when there is no such model."""

    def on_worker_up(self, link: WorkerLink) -> None:
        """A worker has said what it holds."""

    def on_worker_down(self, link: WorkerLink) -> None:
        """The worker is gone."""


class WorkerLost(Exception):
    """The worker went away before it had done what it was asked."""


class WorkerLink:
    """One worker as the gateway sees it.

    Attributes:
        index: The worker's number.
        up: Whether it is connected and has said what it holds.
        last_sign: When it was last heard of, on the event loop's clock.
        replicas: Its engines by their numbers. Those of a worker that died stay, and come back
            when it says so.
    """

    def __init__(self, index: int, socket: str, listener: LinkListener) -> None:
        self.index = index
        self.up = False
        self.last_sign = 0.0
        self.replicas: dict[int, Replica] = {}
        self._socket = socket
        self._listener = listener
        self._writer: asyncio.StreamWriter | None = None
        self._next_number = 0
        self._loads: dict[int, asyncio.Future[Replica]] = {}
        self._unloads: dict[int, asyncio.Future[None]] = {}
        self._coming: dict[int, str] = {}

    def loading(self, model: str) -> int:
        """Copies of a model that it is opening."""
        return sum(coming == model for coming in self._coming.values())

    def copies(self, model: str) -> list[Replica]:
        """Its replicas of a model."""
        return [replica for replica in self.replicas.values() if replica.model == model]

    async def load(self, config: EngineConfig) -> Replica:
        """Open an engine there; returns when it is ready.

        Raises:
            WorkerLost: The worker is not there, or died over it.
            PilotageError: The engine could not be opened.
        """
        if not self.up:
            raise WorkerLost
        number = self._next_number
        self._next_number += 1
        self._coming[number] = config.model
        self._loads[number] = asyncio.get_running_loop().create_future()
        self.send(Load(number, config))
        try:
            return await self._loads[number]
        except asyncio.CancelledError:
            self.send(Unload(number))
            raise
        finally:
            self._loads.pop(number, None)

    async def unload(self, replica: Replica) -> None:
        """Close an engine; returns when its memory is free, or the worker gone."""
        if not self.up or self.replicas.get(replica.number) is not replica:
            self.replicas.pop(replica.number, None)
            return
        if replica.cutoff is None:
            replica.cutoff = 0
        done = self._unloads.setdefault(replica.number, asyncio.get_running_loop().create_future())
        self.send(Unload(replica.number))
        await asyncio.shield(done)

    async def run(self) -> None:
        """Stay connected, for as long as the gateway lives."""
        while True:
            try:
                reader, self._writer = await asyncio.open_unix_connection(self._socket)
            except OSError:  # not there yet, or being replaced
                await asyncio.sleep(_RETRY_S)
                continue
            try:
                await self._listen(reader)
            except (OSError, ValueError) as error:
                _log.warning("link to worker %d broke: %s", self.index, error)
            finally:
                self._writer.close()
                self._writer = None
                self._lost()
            await asyncio.sleep(_RETRY_S)  # nor is a peer that hangs up at once called at once

    def send(self, message: ToWorker) -> None:
        """Send a message, if the worker is there to take it."""
        if self._writer is not None:
            self._writer.write(encode(message))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        decoder: FrameDecoder[ToGateway] = FrameDecoder(ToGateway)  # type: ignore[arg-type]
        clock: Callable[[], float] = asyncio.get_running_loop().time
        while data := await reader.read(_READ):
            self.last_sign = now = clock()
            for replica in self.replicas.values():
                replica.last_sign = now
            for message in decoder.feed(data):
                match message:
                    case Step():
                        if stepped := self.replicas.get(message.engine):
                            stepped.stepped(message)
                    case Hello():
                        self._greet(message, now)
                    case Loaded(number, model, info):
                        self._coming.pop(number, None)
                        if opened := self._replica(number, model, now):
                            opened.opened(info)
                            if waiting := _still(self._loads.get(number)):
                                waiting.set_result(opened)
                    case LoadFailed(number, _, error):
                        self._coming.pop(number, None)
                        if waiting := _still(self._loads.get(number)):
                            waiting.set_exception(PilotageError.from_dict(dict(error)))
                    case Unloaded(number):
                        self._coming.pop(number, None)
                        self._forget(number, now)

    def _greet(self, hello: Hello, now: float) -> None:
        known = {engine.engine: engine for engine in hello.engines}
        for number in [n for n in self.replicas if n not in known]:
            self.replicas.pop(number).closed(now)
        self._next_number = max([self._next_number - 1, *known]) + 1
        self.up = True
        for engine in hello.engines:
            if engine.info is None:
                self._coming[engine.engine] = engine.model
            elif opened := self._replica(engine.engine, engine.model, now):
                opened.opened(engine.info)
        self._listener.on_worker_up(self)

    def _replica(self, number: int, model: str, now: float) -> Replica | None:
        replica = self.replicas.get(number)
        if replica is None or replica.model != model:
            pool = self._listener.pool_of(model)
            if pool is None:
                return None
            replica = Replica(self.index, number, model, pool, self.send)
            self.replicas[number] = replica
        replica.cutoff = None
        replica.last_sign = now
        return replica

    def _forget(self, number: int, now: float) -> None:
        replica = self.replicas.pop(number, None)
        if replica is not None:
            replica.closed(now)
        if waiting := _still(self._unloads.pop(number, None)):
            waiting.set_result(None)

    def _lost(self) -> None:
        if not self.up:
            return
        self.up = False
        now = asyncio.get_running_loop().time()
        self._coming.clear()
        for load in self._loads.values():
            if waiting := _still(load):
                waiting.set_exception(WorkerLost())
        for number in list(self._unloads):
            self._forget(number, now)
        for replica in self.replicas.values():
            # All of them before any request begins anew: it should not be given to a sibling.
            replica.cutoff = 0
        for replica in list(self.replicas.values()):
            replica.lost(now)
        self._listener.on_worker_down(self)


def _still(future: asyncio.Future[F] | None) -> asyncio.Future[F] | None:
    """The future, if somebody still waits for it."""
    return future if future is not None and not future.done() else None
