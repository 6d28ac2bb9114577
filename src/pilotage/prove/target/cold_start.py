"""From a command to a server that answers: how long a cold start takes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final

from pilotage.errors import TargetError, UsageError
from pilotage.prove.client.answer import printable
from pilotage.prove.target.endpoint import Endpoint
from pilotage.prove.target.exchange import NoReplyError
from pilotage.prove.target.preflight import Preflight, preflight
from pilotage.prove.target.refusal import RefusedError

_POLL_S: Final = 0.05
_TAIL_LINES: Final = 20
_LINE_BYTES: Final = 4096
_NOT_YET: Final = {404, 408, 425, 429}  # and everything from 500 on


@dataclass(frozen=True)
class ColdStart:
    """A server that was started and answers.

    Attributes:
        process: The command's process, the leader of a process group of its own.
        seconds: From its start to the end of the first whole answer to a request.
        preflight: What was found out about it on the way.
    """

    process: subprocess.Popen[bytes]
    seconds: float
    preflight: Preflight


@contextlib.contextmanager
def measure_cold_start(
    command: Sequence[str],
    endpoint: Endpoint,
    *,
    timeout_s: float,
    grace_s: float = 30.0,
    env: Mapping[str, str] | None = None,
) -> Iterator[ColdStart]:
    """Start a server, wait until it answers a request, and leave it running meanwhile.

    At the end its process group gets SIGTERM, and after ``grace_s`` seconds SIGKILL. Not for use
    inside a running event loop.

    Args:
        command: Program and arguments.
        endpoint: Where it will answer.
        timeout_s: Seconds it may take.
        grace_s: Seconds it may take to end.
        env: Its environment; None for this process's.

    Raises:
        UsageError: The command cannot be started, or something answers at that address already.
        TargetError: It ended, or it does not answer in time. Has the end of what it printed.
    """
    if _is_taken(endpoint):
        raise UsageError(
            "something answers there already, so no start could be measured",
            where=endpoint.origin,
            hint="Stop it, or choose another port.",
        )
    began = time.monotonic()
    process = _start(command, env)
    assert process.stdout is not None
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    reader = threading.Thread(target=_collect, args=(process.stdout, tail), daemon=True)
    reader.start()
    try:
        try:
            found = asyncio.run(_answered(process, endpoint, timeout_s))
        except TargetError as error:
            _stop(process, 0.0 if process.poll() is not None else grace_s)
            reader.join(1)
            raise _with_output(error, tail) from None
        yield ColdStart(process, time.monotonic() - began, found)
    finally:
        _stop(process, grace_s)
        reader.join(1)
        if not reader.is_alive():
            process.stdout.close()


async def _answered(
    process: subprocess.Popen[bytes], endpoint: Endpoint, timeout_s: float
) -> Preflight:
    """Ask until there is an answer; a request that the server holds back while it loads counts."""
    ended = asyncio.create_task(_ended(process))
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            left = deadline - time.monotonic()
            asked = asyncio.create_task(preflight(endpoint, stream=False, timeout_s=left))
            await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                asked.cancel()
                with contextlib.suppress(asyncio.CancelledError, TargetError):
                    await asked
                raise _gone(process, endpoint)
            try:
                return asked.result()
            except (NoReplyError, RefusedError) as error:
                if isinstance(error, RefusedError) and not (
                    error.status >= 500 or error.status in _NOT_YET
                ):
                    raise
                if ended.done():
                    raise _gone(process, endpoint) from None
                if time.monotonic() + _POLL_S >= deadline:
                    raise _too_slow(error, endpoint, timeout_s) from None
            await asyncio.sleep(_POLL_S)
    finally:
        ended.cancel()


async def _ended(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:  # noqa: ASYNC110  a process that another thread may reap
        await asyncio.sleep(_POLL_S)


def _gone(process: subprocess.Popen[bytes], endpoint: Endpoint) -> TargetError:
    return TargetError(
        f"the command ended with exit code {process.returncode} before it answered",
        where=endpoint.origin,
    )


def _too_slow(last: TargetError, endpoint: Endpoint, timeout_s: float) -> TargetError:
    return TargetError(
        f"the command's server did not answer within {timeout_s:g} s ({last.message})",
        where=endpoint.origin,
    )


def _with_output(error: TargetError, tail: Sequence[str]) -> TargetError:
    said = " | ".join(tail)
    return TargetError(
        error.message,
        where=error.where,
        hint=f"It printed at the end: {said}" if said else error.hint or "It printed nothing.",
    )


def _start(command: Sequence[str], env: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    if not command:
        raise UsageError("there is no command to start")
    try:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,  # so that what it starts can be ended with it
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"the command cannot be started ({why})", where=printable(str(command[0]))
        ) from None


def _stop(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """End the process and what is left of its group."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _collect(output: IO[bytes], tail: deque[str]) -> None:
    with contextlib.suppress(ValueError):  # closed meanwhile
        while line := output.readline(_LINE_BYTES):
            if text := printable(line.decode("utf-8", "replace")):
                tail.append(text)


def _is_taken(endpoint: Endpoint) -> bool:
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=1.0):
            return True
    except OSError:
        return False
