"""A worker: one process, one engine, one slice of the machine.

A single thread takes messages from the gateway, steps the engine, and sends what came of it. The
engine keeps the interpreter lock during a step, so a second thread would only wait; and a loop
that is one thread cannot beat while its engine hangs.
"""

from __future__ import annotations

import json
import logging
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pilotage.engines.engine import Engine, EngineOutput
from pilotage.errors import PilotageError
from pilotage.serve.board import Board, State
from pilotage.serve.config import FATAL_EXIT, WorkerConfig, read_config
from pilotage.serve.link import Cancel, FrameDecoder, Hello, Step, Submit, ToWorker, encode
from pilotage.serve.placement import pin
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
    """The loop between link and engine."""

    def __init__(self, config: WorkerConfig, engine: Engine, board: Board) -> None:
        self._config = config
        self._engine = engine
        self._board = board
        self._rate = PrefillRate(engine.info.prefill_tokens_per_s)
        self._connection: socket.socket | None = None
        self._decoder: FrameDecoder[ToWorker] = FrameDecoder(ToWorker)  # type: ignore[arg-type]
        self._held: set[int] = set()
        self._refused: list[EngineOutput] = []
        self._unproven: set[int] = set()
        self._stopping = False
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
        self._board.state = State.READY
        while not self._stopping:
            self._receive(0.0 if self._engine.busy or self._refused else _IDLE_S)
            self._advance()
        self._board.state = State.STOPPED

    def _receive(self, timeout: float) -> None:
        sources: list[socket.socket | int] = [self._listener, sys.stdin.fileno()]
        if self._connection is not None:
            sources.append(self._connection)
        ready, _, _ = select.select(sources, [], [], timeout)
        if sys.stdin.fileno() in ready:
            self._stopping = True  # nothing is ever written there: readable means closed
        if self._listener in ready:
            self._accept()
        elif self._connection in ready:
            self._read()

    def _accept(self) -> None:
        self._hang_up("a new gateway has connected")
        if self._held:
            # Not before the engine has let go of the old connection's requests: the new one may
            # use the same numbers, and would take their endings for its own.
            return
        self._connection, _ = self._listener.accept()
        self._connection.settimeout(_SEND_TIMEOUT_S)
        self._decoder = FrameDecoder(ToWorker)  # type: ignore[arg-type]
        self._send(encode(Hello(self._config.index, self._engine.info)))

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
            match message:
                case Submit(request):
                    try:
                        self._engine.submit(request)
                    except ValueError as error:
                        self._refused.append(
                            EngineOutput(request.id, [], None, "error", str(error))
                        )
                    else:
                        self._held.add(request.id)
                        if request.params.json_schema is not None:
                            self._unproven.add(request.id)
                        self._rate.submitted(request.id, len(request.prompt_ids))
                case Cancel(id):
                    self._engine.cancel(id)

    def _hang_up(self, why: str) -> None:
        """Drop the gateway; nobody waits for its requests any more, so they stop."""
        if self._connection is None:
            return
        _log.info("link closed: %s", why)
        self._connection.close()
        self._connection = None
        self._refused.clear()
        for request_id in self._held:
            self._engine.cancel(request_id)

    def _advance(self) -> None:
        outputs: list[EngineOutput] = []
        busy = self._engine.busy
        took = 0.0
        if busy:
            began = time.perf_counter()
            try:
                outputs = self._engine.step()
            except Exception:
                self._blame()
                raise
            self._unproven.difference_update(o.id for o in outputs)
            took = time.perf_counter() - began
            self._rate.stepped(took, outputs)
        self._held.difference_update(o.id for o in outputs if o.finish_reason is not None)
        self._board.beat(
            stepped=busy,
            running=len(self._held),
            new_tokens=sum(len(o.token_ids) for o in outputs),
        )
        outputs += self._refused
        self._refused = []
        frame = Step(
            outputs,
            took,
            len(self._held),
            self._engine.kv_cache_usage(),
            self._rate.tokens_per_s,
        )
        self._send(encode(frame))

    def _blame(self) -> None:
        """Answer the requests that probably broke the engine, so that no other worker tries them.

        Those are the ones whose JSON schema has yet to bring a token.
        """
        reason = "the engine could not compile the JSON schema"
        outputs = [EngineOutput(number, [], None, "error", reason) for number in self._unproven]
        if outputs:
            self._send(encode(Step(outputs, 0.0, 0, 0.0, self._rate.tokens_per_s)))

    def _send(self, frame: bytes) -> None:
        if self._connection is None:
            return
        try:
            self._connection.sendall(frame)
        except OSError as error:
            self._hang_up(f"the gateway does not read: {error}")


def _open_engine(config: WorkerConfig) -> Engine:
    from pilotage.engines.openvino import OpenVinoEngine  # noqa: PLC0415  heavy, and only here

    return OpenVinoEngine.open(
        Path(config.model_path),
        config.plan,
        threads=len(config.cores),
        cache=Path(config.cache),
        max_num_batched_tokens=config.max_num_batched_tokens,
        prefix_caching=config.prefix_caching,
    )


def main(config_path: str) -> int:
    """Run a worker process; `config_path` is a file written by the supervisor."""
    config = read_config(Path(config_path), WorkerConfig)
    logs.configure(config.log_format, config.log_level)
    board = Board(Path(config.board))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor alone decides what it means
    pin(config.cores)
    try:
        engine = _open_engine(config)
    except PilotageError as error:
        Path(config.errors).write_text(json.dumps(error.as_dict()))
        return FATAL_EXIT
    worker = Worker(config, engine, board)

    def on_term(_signal: int, _frame: FrameType | None) -> None:
        worker.stop()

    signal.signal(signal.SIGTERM, on_term)
    with suppress(KeyboardInterrupt):
        worker.run()
    return 0


if __name__ == "__main__":
    import os

    code = main(sys.argv[1])
    sys.stderr.flush()
    # The engine's own teardown may take seconds and has nothing left to save.
    os._exit(code)
