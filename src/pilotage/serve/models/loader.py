"""Opens and closes engines beside a worker's loop, so that the other engines' tokens go on.

One thread does it, one engine after the other: two models that load at the same time would each
take twice as long and all of the cores. What it has done is taken by the loop, which owns every
engine that is open.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TypeAlias

from pilotage.devices import DeviceSlice
from pilotage.engines.config import EngineConfig
from pilotage.engines.engine import Closable, Engine
from pilotage.errors import ModelError, PilotageError, ResourceError

_log = logging.getLogger("pilotage.worker")


@dataclass(frozen=True, slots=True)
class Opened:
    """An engine is ready."""

    number: int
    model: str
    engine: Engine


@dataclass(frozen=True, slots=True)
class Failed:
    """An engine could not be opened."""

    number: int
    model: str
    error: PilotageError


@dataclass(frozen=True, slots=True)
class Closed:
    """An engine is gone, and its memory free."""

    number: int


News: TypeAlias = Opened | Failed | Closed


@dataclass(slots=True)
class _Task:
    """An engine to open (``config``) or to let go of (``engine``)."""

    number: int
    config: EngineConfig | None = None
    engine: Engine | None = None


class Loader:
    """The thread that opens and closes engines.

    Args:
        open_engine: Opens one.
        device: On what.
        waker: File descriptor that gets a byte whenever there is news.
    """

    def __init__(
        self,
        open_engine: Callable[[EngineConfig, DeviceSlice], Engine],
        device: DeviceSlice,
        waker: int,
    ) -> None:
        self._open_engine = open_engine
        self._device = device
        self._waker = waker
        self._tasks: SimpleQueue[_Task] = SimpleQueue()
        self._news: SimpleQueue[News] = SimpleQueue()
        self._coming: dict[int, str] = {}  # the loop's own, as are those two
        self._unwanted: set[int] = set()
        self._thread: threading.Thread | None = None

    def open(self, number: int, config: EngineConfig) -> None:
        """Open an engine under this number; news follow."""
        self._coming[number] = config.model
        self._do(_Task(number, config=config))

    def close(self, number: int, engine: Engine | None) -> None:
        """Let go of an engine that is open, or (None) of one that is still being opened."""
        if engine is None and number in self._coming:
            self._unwanted.add(number)  # it cannot be stopped half-way: closed when it is there
        else:
            self._do(_Task(number, engine=engine))

    def coming(self) -> list[tuple[int, str]]:
        """Engines that are being opened and are still wanted: their numbers and models."""
        return [(n, model) for n, model in self._coming.items() if n not in self._unwanted]

    def news(self) -> Iterator[News]:
        """What has happened since the last look."""
        while True:
            try:
                news = self._news.get_nowait()
            except Empty:
                return
            if isinstance(news, Closed):
                yield news
                continue
            del self._coming[news.number]
            if news.number not in self._unwanted:
                yield news
                continue
            self._unwanted.discard(news.number)
            engine = news.engine if isinstance(news, Opened) else None
            self._do(_Task(news.number, engine=engine))

    def _do(self, task: _Task) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="loader", daemon=True)
            self._thread.start()
        self._tasks.put(task)

    def _run(self) -> None:
        while True:
            task = self._tasks.get()
            if task.config is not None:
                news = self._opened(task.number, task.config)
            else:
                _close(task.engine)
                task.engine = None  # the last reference: its memory goes here, not in the loop
                gc.collect()
                news = Closed(task.number)
            self._news.put(news)
            del news, task  # or an engine would live on until the next task
            with suppress(BlockingIOError):  # a full pipe wakes as well
                os.write(self._waker, b"\0")

    def _opened(self, number: int, config: EngineConfig) -> News:
        try:
            return Opened(number, config.model, self._open_engine(config, self._device))
        except PilotageError as error:
            return Failed(number, config.model, error)
        except MemoryError:
            short = ResourceError("there was not enough memory to load it", where=config.path)
            return Failed(number, config.model, short)
        except Exception as error:  # noqa: BLE001
            # Whatever a library raises over one model must not end a worker that runs others.
            _log.exception("loading %s failed", config.model)
            failure = ModelError(f"the engine could not open it: {error}", where=config.path)
            return Failed(number, config.model, failure)


def _close(engine: object) -> None:
    if isinstance(engine, Closable):
        try:
            engine.close()
        except Exception:  # noqa: BLE001
            # It goes either way, and the worker lives on with what is left.
            _log.exception("closing an engine failed")
