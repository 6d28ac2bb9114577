"""A keeper: the process that the supervisor starts for an engine that is a server of its own.

It finds out what the engine at hand can do, starts it, tells the gateway where it answers once it
has really answered, watches it, and ends with it: when the engine dies or hangs the keeper ends
with a reason, and the supervisor starts both again. Whichever way the keeper ends, the engine's
whole process group ends with it.
"""

from __future__ import annotations

import json
import logging
import secrets
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from pilotage.devices.cpu import pin
from pilotage.engines.external.command import (
    Address,
    Command,
    clean_environment,
    outer_environment,
)
from pilotage.engines.external.llama_server_arguments import llama_server_command
from pilotage.engines.external.settings import ExternalSettings
from pilotage.engines.external.versions import KnownFlags, probe
from pilotage.engines.external.vllm_arguments import vllm_command
from pilotage.errors import PilotageError, ServeError
from pilotage.serve.board import Board, State
from pilotage.serve.config import FATAL_EXIT
from pilotage.serve.external.config import KeeperConfig
from pilotage.serve.external.endpoint import Endpoint, publish, withdraw
from pilotage.serve.external.engine_client import EngineClient, EngineUnreachable
from pilotage.serve.external.engine_metrics import EngineCounts, counts_of
from pilotage.serve.external.engine_process import EngineProcess
from pilotage.serve.external.progress import PATIENCE, EngineProgress
from pilotage.serve.external.readiness import answers, measure
from pilotage.serve.telemetry import logs

if TYPE_CHECKING:
    from types import FrameType

LOST_EXIT: Final = 1
"""Exit code when the engine died or hung: starting both again may help."""

_TICK_S: Final = 0.1
_LOOK_S: Final = 1.0
_DRAIN_S: Final = 4.0
"""Time that the engine's last requests get at the end. The gateway has drained before; this is
for those it cut off. Shorter than the time after which the supervisor kills."""

_END_S: Final = 0.7
_log = logging.getLogger("pilotage.keeper")


class Keeper:
    """Keeps one life of an engine's server.

    Args:
        config: What the supervisor said.
        board: Its counters.
        command: What starts the engine.
        api_key: What the engine wants to be shown.
        version: The engine's version.
    """

    def __init__(
        self, config: KeeperConfig, board: Board, command: Command, api_key: str, version: str
    ) -> None:
        self._config = config
        self._settings = config.settings
        self._board = board
        self._address = command.address
        self._api_key = api_key
        self._version = version
        self._began = time.monotonic()
        self._stopping = False
        self._ready = False
        self._tokens = 0
        self._probe: threading.Thread | None = None
        self._probe_came_back = threading.Event()
        self._engine = EngineProcess(command, config.settings.engine, self._log_level)
        self._client = EngineClient(
            command.address, api_key, config.settings.model, config.settings.task
        )

    def stop(self) -> None:
        """Leave the loop at its next turn."""
        self._stopping = True

    def run(self) -> int:
        """Keep the engine until told to stop, until it fails, or until the supervisor is gone.

        Returns:
            The exit code of this process.

        Raises:
            ServeError: The engine could not start, and would not the next time.
        """
        code = 0
        try:
            if self._await_ready():
                code = self._watch()
            if self._stopping:
                self._drain()
        finally:
            withdraw(Path(self._config.endpoint))
            self._board.state = State.STOPPED
            self._engine.end(_END_S if code == 0 else 0.0)
        if code:
            for line in self._engine.lines:
                sys.stderr.write(f"{self._settings.engine}: {line}\n")
        return code

    # Starting ---------------------------------------------------------------------------------

    def _await_ready(self) -> bool:
        """Wait until it answers; False when told to stop first."""
        answered = threading.Event()
        asking = threading.Thread(target=self._ask_until_ready, args=(answered,), daemon=True)
        asking.start()
        while not answered.is_set():
            self._turn(None)
            if self._stopping:
                return False
            if self._engine.exit_code() is not None:
                self._failed_to_start()
        load_s = time.monotonic() - self._began
        info = measure(self._client, self._settings, self._version, load_s)
        publish(
            Path(self._config.endpoint),
            Endpoint(
                socket=self._address.socket,
                port=self._address.port,
                api_key=self._api_key,
                model=self._settings.model,
                names=self._settings.names,
                info=info,
            ),
        )
        self._ready = True
        self._board.state = State.READY
        _log.info(
            "%s answers after %.1f s, prompts at %.0f tokens/s",
            info.engine,
            load_s,
            info.prefill_tokens_per_s,
        )
        return True

    def _ask_until_ready(self, answered: threading.Event) -> None:
        """Beside the main loop, since a first answer may take its time."""
        while self._engine.exit_code() is None and not self._stopping:
            if self._listens() and answers(self._client):
                answered.set()
                return
            time.sleep(_TICK_S)

    def _listens(self) -> bool:
        """Whether anything accepts connections yet; keeps questions out of the engine's log."""
        if self._address.socket is not None:
            kind, where = socket.AF_UNIX, self._address.socket
        else:
            kind, where = socket.AF_INET, ("127.0.0.1", self._address.port)  # type: ignore[assignment]
        with socket.socket(kind) as one:
            one.settimeout(1.0)
            return one.connect_ex(where) == 0

    def _failed_to_start(self) -> None:
        """The engine ended before it answered.

        At the server's own start that is an engine which cannot run this model here: the report
        says so with its last words. After a crash it may be memory that is not free again yet,
        and the next start may succeed.
        """
        code = self._engine.exit_code()
        self._engine.end(0.0)
        words = "".join(f"\n  {line}" for line in self._engine.lines)
        why = f"{self._settings.engine} {self._version} ended with code {code} while it started"
        if self._board.restarts == 0:
            raise ServeError(
                why + words,
                where=self._settings.model,
                hint="The lines above are the last it wrote",
            )
        raise _EngineLost(why)

    # Watching ---------------------------------------------------------------------------------

    def _watch(self) -> int:
        progress = EngineProgress(self._config.hang_timeout_s, time.monotonic())
        looked_at = 0.0
        counts: EngineCounts | None = None
        while not self._stopping:
            self._turn(counts)
            code = self._engine.exit_code()
            if code is not None:
                _log.error("%s ended with code %d", self._settings.engine, code)
                return LOST_EXIT
            now = time.monotonic()
            if now - looked_at < _LOOK_S:
                continue
            counts = self._counts()
            now = looked_at = time.monotonic()
            if self._probe_came_back.is_set():
                self._probe_came_back.clear()
                progress.probed(now)
            finding = progress.judge(now, counts, self._engine.cpu_s())
            if finding == "probe":
                self._send_probe()
            elif finding == "hung":
                _log.error(
                    "%s made no progress for %.0f s and does not answer a probe; it is killed",
                    self._settings.engine,
                    now - progress.last_at,
                )
                return LOST_EXIT
        return 0

    def _turn(self, counts: EngineCounts | None) -> None:
        """One turn of the loop: a beat, and a look at whether the supervisor is still there."""
        running = 0 if counts is None else counts.running + counts.waiting
        tokens = self._tokens if counts is None else counts.generated_tokens
        new = max(0, tokens - self._tokens)
        self._tokens = tokens
        self._board.beat(stepped=new > 0, running=running, new_tokens=new)
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], _TICK_S)
        if readable:
            self._stopping = True  # nothing is ever written there: readable means closed

    def _counts(self) -> EngineCounts | None:
        try:
            return counts_of(self._client.metrics(self._config.hang_timeout_s / 2))
        except EngineUnreachable:
            return None

    def _send_probe(self) -> None:
        """One token, asked for beside the loop; one probe at a time."""
        if self._probe is not None and self._probe.is_alive():
            return

        def ask() -> None:
            with suppress(EngineUnreachable):
                self._client.answer_one("Hello", PATIENCE * self._config.hang_timeout_s)
                self._probe_came_back.set()

        self._probe = threading.Thread(target=ask, daemon=True)
        self._probe.start()

    def _drain(self) -> None:
        """Let what still runs end, for a moment."""
        self._board.state = State.DRAINING
        withdraw(Path(self._config.endpoint))
        deadline = time.monotonic() + _DRAIN_S
        while self._ready and time.monotonic() < deadline and self._engine.exit_code() is None:
            counts = self._counts()
            if counts is None or not counts.running + counts.waiting:
                return
            time.sleep(_TICK_S)

    def _log_level(self) -> int:
        """What the engine says while it starts interests everybody; later only who looks."""
        return logging.DEBUG if self._ready else logging.INFO


class _EngineLost(Exception):
    """The engine ended; starting it again may help."""


def _command(config: KeeperConfig, known: KnownFlags, api_key: str) -> Command:
    settings = _readable(config)
    address = _address(config, known)
    make = vllm_command if settings.engine == "vllm" else llama_server_command
    return make(
        config.program,
        settings,
        known,
        address,
        api_key,
        outer=outer_environment(),
        device=config.environment,
    )


def _readable(config: KeeperConfig) -> ExternalSettings:
    """The settings with a path that the engine reads: for vLLM a GGUF becomes a dense folder."""
    settings = config.settings
    path = Path(settings.path)
    if settings.engine != "vllm" or path.is_dir():
        return settings
    from pilotage.engines.dequantize import dense_copy  # noqa: PLC0415  heavy

    folder = dense_copy(path, Path(config.cache), settings.dtype)
    return msgspec.structs.replace(settings, path=str(folder))


def _address(config: KeeperConfig, known: KnownFlags) -> Address:
    if known.unix_socket:
        path = Path(config.folder) / f"engine-{config.worker}-{secrets.token_hex(3)}.sock"
        return Address(socket=str(path))
    with socket.socket() as free:  # an engine without Unix sockets: loopback, behind its key
        free.bind(("127.0.0.1", 0))
        return Address(port=free.getsockname()[1])


def main(config_path: str) -> int:
    """Run a keeper; `config_path` is a file written by the supervisor."""
    config = KeeperConfig.read(Path(config_path))
    logs.configure(config.log_format, config.log_level)
    board = Board(Path(config.board))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor alone decides what it means
    pin(config.cores)
    withdraw(Path(config.endpoint))
    folder = Path(config.folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for stale in folder.glob(f"engine-{config.worker}-*.sock"):
        stale.unlink(missing_ok=True)
    try:
        environment = clean_environment(outer_environment(), config.environment, {})
        known = probe(config.settings.engine, config.program, Path(config.cache), environment)
        api_key = secrets.token_urlsafe(32)
        keeper = Keeper(config, board, _command(config, known, api_key), api_key, known.version)

        def on_term(_signal: int, _frame: FrameType | None) -> None:
            keeper.stop()

        signal.signal(signal.SIGTERM, on_term)
        return keeper.run()
    except _EngineLost as lost:
        sys.stderr.write(f"{lost}\n")
        return LOST_EXIT
    except PilotageError as error:
        Path(config.errors).write_text(json.dumps(error.as_dict()))
        return FATAL_EXIT


if __name__ == "__main__":
    import os

    code = main(sys.argv[1])
    sys.stderr.flush()
    os._exit(code)  # a question to the engine may still be waited for in a thread
