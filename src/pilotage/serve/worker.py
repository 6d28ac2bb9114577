"""A worker: one process, one slice of the machine, and the engines on it.

A single thread takes messages from the gateway, steps the engines that are busy in turn, and
sends what came of each step. An engine keeps the interpreter lock during a step, so a second
thread would only wait; and a loop that is one thread cannot beat while its engine hangs. Only the
opening and closing of engines goes on beside it, see `pilotage.serve.models.loader`.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pilotage.devices import pin
from pilotage.engines.engine import Engine, EngineOutput
from pilotage.engines.opening import open_engine
from pilotage.errors import PilotageError
from pilotage.serve.board import Board, State
from pilotage.serve.config import FATAL_EXIT, WorkerConfig, read_config
from pilotage.serve.held_engine import HeldEngine
from pilotage.serve.link import (
    Alive,
    Cancel,
    FrameDecoder,
    Hello,
    Load,
    Loaded,
    LoadFailed,
    OpenedEngine,
    Step,
    Submit,
    ToWorker,
    Unload,
    Unloaded,
    encode,
)
from pilotage.serve.models.loader import Closed, Failed, Loader, Opened
from pilotage.serve.prefill_rate import PrefillRate
from pilotage.serve.telemetry import logs

if TYPE_CHECKING:
    from types import FrameType

_IDLE_S: Final = 1.0
_SEND_TIMEOUT_S: Final = 3.0
"""A gateway that does not read for so long is dropped. Shorter than any sensible hang time-out: a
worker that waits for its gateway does not beat, and is not the one to blame."""

_READ: Final = 1 << 20
_log = logging.getLogger("pilotage.worker")


class Worker:
    """The loop between link and engines."""

    def __init__(self, config: WorkerConfig, engines: list[Engine], board: Board) -> None:
        self._config = config
        self._board = board
        self._engines: dict[int, HeldEngine] = {}
        for number, (asked, engine) in enumerate(zip(config.engines, engines, strict=True)):
            self._add(number, asked.model, engine)
        self._turn = 0
        self._leaving = False
        self._connection: socket.socket | None = None
        self._decoder: FrameDecoder[ToWorker] = FrameDecoder(ToWorker)  # type: ignore[arg-type]
        self._stopping = False
        # Readable when a signal has come or the loader has news, so that an idle loop hears of it.
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._loader = Loader(open_engine, config.device, self._waker)
        path = Path(config.socket)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(4)

    def stop(self) -> None:
        """Leave the loop after the step in hand."""
        self._stopping = True

    def run(self) -> None:
        """Serve until told to stop, or until the supervisor is gone (its end of stdin closes)."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._board.state = State.READY
        while not self._stopping:
            self._receive(0.0 if any(held.has_news for held in self._engines.values()) else _IDLE_S)
            self._advance()
            if self._leaving:
                self._close_left()
        self._board.state = State.STOPPED

    def _add(self, number: int, model: str, engine: Engine) -> None:
        rate = PrefillRate(engine.info.prefill_tokens_per_s)
        self._engines[number] = HeldEngine(number, model, engine, rate)

    # Messages ---------------------------------------------------------------------------------

    def _receive(self, timeout: float) -> None:
        sources: list[socket.socket | int] = [self._listener, sys.stdin.fileno(), self._woken]
        if self._connection is not None:
            sources.append(self._connection)
        ready, _, _ = select.select(sources, [], [], timeout)
        if not ready:
            return
        if sys.stdin.fileno() in ready:
            self._stopping = True  # nothing is ever written there: readable means closed
        if self._woken in ready:
            with suppress(BlockingIOError):
                os.read(self._woken, 4096)
            self._hear_loader()
        if self._listener in ready:
            self._accept()
        elif self._connection in ready:
            self._read()

    def _accept(self) -> None:
        self._hang_up("a new gateway has connected")
        if any(held.held for held in self._engines.values()):
            # Not before the engines have let go of the old connection's requests: the new one may
            # use the same numbers, and would take their endings for its own.
            return
        self._connection, _ = self._listener.accept()
        self._connection.settimeout(_SEND_TIMEOUT_S)
        self._decoder = FrameDecoder(ToWorker)  # type: ignore[arg-type]
        opened = [
            OpenedEngine(held.number, held.model, held.engine.info)
            for held in self._engines.values()
            if not held.leaving
        ]
        coming = [OpenedEngine(number, model, None) for number, model in self._loader.coming()]
        self._send(encode(Hello(self._config.index, opened + coming)))

    def _read(self) -> None:
        assert self._connection is not None
        try:
            data = self._connection.recv(_READ)
            messages = list(self._decoder.feed(data)) if data else []
        except (OSError, ValueError) as error:
            self._hang_up(f"the link broke: {error}")
            return
        if not data:
            self._hang_up("the gateway has gone")
        for message in messages:
            self._obey(message)

    def _obey(self, message: ToWorker) -> None:
        match message:
            case Submit(engine, request):
                if held := self._engines.get(engine):
                    held.submit(request)
            case Cancel(engine, id):
                if held := self._engines.get(engine):
                    held.engine.cancel(id)
            case Load(number, config):
                self._loader.open(number, config)
            case Unload(number):
                if held := self._engines.get(number):
                    held.leaving = True
                    held.cancel_all()
                    self._leaving = True
                else:
                    self._loader.close(number, None)

    def _hang_up(self, why: str) -> None:
        """Drop the gateway; nobody waits for its requests any more, so they stop."""
        if self._connection is None:
            return
        _log.info("link closed: %s", why)
        self._connection.close()
        self._connection = None
        for held in self._engines.values():
            held.cancel_all()

    # Opening and closing ----------------------------------------------------------------------

    def _hear_loader(self) -> None:
        for news in self._loader.news():
            match news:
                case Opened(number, model, engine):
                    self._add(number, model, engine)
                    self._send(encode(Loaded(number, model, engine.info)))
                case Failed(number, model, error):
                    _log.warning("%s could not be loaded: %s", model, error)
                    self._send(encode(LoadFailed(number, model, error.as_dict())))
                case Closed(number):
                    self._send(encode(Unloaded(number)))

    def _close_left(self) -> None:
        """Let go of the engines that are to leave and hold nothing any more."""
        for held in [held for held in self._engines.values() if held.leaving and not held.held]:
            del self._engines[held.number]
            self._loader.close(held.number, held.engine)
        self._leaving = any(held.leaving for held in self._engines.values())

    # Steps ------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Step the next busy engine; when there is none, give a sign of life."""
        held = self._next()
        if held is not None:
            self._step(held)
            return
        self._board.beat()
        for idle in self._engines.values():
            self._tell(idle, [], 0.0)
        if not self._engines:
            self._send(encode(Alive()))

    def _next(self) -> HeldEngine | None:
        """The engine with news that has waited longest for its turn."""
        if len(self._engines) == 1:
            (only,) = self._engines.values()
            return only if only.has_news else None
        numbers = sorted(self._engines)
        later = [number for number in numbers if number > self._turn]
        for number in later + numbers[: len(numbers) - len(later)]:
            if self._engines[number].has_news:
                self._turn = number
                return self._engines[number]
        return None

    def _step(self, held: HeldEngine) -> None:
        outputs: list[EngineOutput] = []
        busy = held.engine.busy
        took = 0.0
        if busy:
            began = time.perf_counter()
            try:
                outputs = held.engine.step()
            except Exception:
                # Answer the requests that probably broke it, so that no other worker tries them.
                if blamed := held.blamed():
                    self._tell(held, blamed, 0.0)
                raise
            if held.unproven:
                held.unproven.difference_update(o.id for o in outputs)
            took = time.perf_counter() - began
            held.rate.stepped(took, outputs)
        held.held.difference_update(o.id for o in outputs if o.finish_reason is not None)
        self._board.beat(
            stepped=busy,
            running=sum(len(other.held) for other in self._engines.values()),
            new_tokens=sum(len(o.token_ids) for o in outputs),
        )
        outputs += held.refused
        held.refused = []
        self._tell(held, outputs, took)

    def _tell(self, held: HeldEngine, outputs: list[EngineOutput], took: float) -> None:
        if self._connection is None:
            return
        usage = held.engine.kv_cache_usage()
        frame = Step(held.number, outputs, took, len(held.held), usage, held.rate.tokens_per_s)
        self._send(encode(frame))

    def _send(self, frame: bytes) -> None:
        if self._connection is None:
            return
        try:
            self._connection.sendall(frame)
        except OSError as error:
            self._hang_up(f"the gateway does not read: {error}")


def main(config_path: str) -> int:
    """Run a worker process; `config_path` is a file written by the supervisor."""
    config = read_config(Path(config_path), WorkerConfig)
    logs.configure(config.log_format, config.log_level)
    board = Board(Path(config.board))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor alone decides what it means
    pin(config.device.cores)
    try:
        engines = [open_engine(engine, config.device) for engine in config.engines]
    except PilotageError as error:
        Path(config.errors).write_text(json.dumps(error.as_dict()))
        return FATAL_EXIT
    worker = Worker(config, engines, board)

    def on_term(_signal: int, _frame: FrameType | None) -> None:
        worker.stop()

    signal.signal(signal.SIGTERM, on_term)
    with suppress(KeyboardInterrupt):
        worker.run()
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stderr.flush()
    # The engines' own teardown may take seconds and has nothing left to save.
    os._exit(code)
