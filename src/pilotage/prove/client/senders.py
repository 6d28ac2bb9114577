"""The parent's side of the sender processes: start them, listen to them, stop them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from pilotage.errors import PilotageError
from pilotage.prove.client.messages import (
    HEADER_SIZE,
    Failed,
    Finished,
    FromSender,
    Progress,
    Ready,
    Setup,
    Start,
    Stop,
    frame,
    frame_length,
    from_sender_decoder,
)
from pilotage.prove.record import Record, SenderStats

_START_UP_S = 60.0
_HEAD_START_S = 0.1
"""Between telling the senders and time 0, so that all of them have heard."""

_GRACE_S = 10.0
"""How long a sender may take to report after everything must have ended."""


@dataclass(frozen=True)
class Standing:
    """Where a run stands.

    Attributes:
        records: Requests that ended since the last call.
        begun: Requests begun so far, by all senders.
        in_flight: Requests under way.
        overdue: Those of them that are late already.
    """

    records: list[Record]
    begun: int
    in_flight: int
    overdue: int


class Senders:
    """The sender processes of one run. An async context manager: leaving it ends them.

    Args:
        setups: What each of them does.
    """

    def __init__(self, setups: list[Setup]) -> None:
        self._setups = setups
        self._processes: list[asyncio.subprocess.Process] = []
        self._begun = [0] * len(setups)
        self._in_flight = [0] * len(setups)
        self._overdue = [0] * len(setups)

    async def __aenter__(self) -> Senders:
        try:
            for setup in self._setups:
                self._processes.append(await _spawn(setup))
            async with asyncio.timeout(_START_UP_S):
                for process in self._processes:
                    await _until_ready(process)
        except BaseException as error:
            await self._end()
            if isinstance(error, TimeoutError):
                raise PilotageError("the sender processes did not start in time") from None
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    def start(self) -> float:
        """Begin, and return the clock reading (``time.monotonic()``) that is the run's time 0."""
        at = time.monotonic() + _HEAD_START_S
        for process in self._processes:
            _tell(process, Start(at))
        return at

    def stop(self) -> None:
        """Have the senders begin nothing more and give up what is under way."""
        for process in self._processes:
            _tell(process, Stop())

    async def listen(self, heard: Callable[[Standing], None]) -> list[SenderStats]:
        """Pass on what the senders report until all of them have finished.

        Raises:
            PilotageError: One of them died.
        """
        return list(
            await asyncio.gather(
                *(self._listen(number, heard) for number in range(len(self._processes)))
            )
        )

    async def _listen(self, number: int, heard: Callable[[Standing], None]) -> SenderStats:
        process = self._processes[number]
        while isinstance(message := await _read(process), Progress):
            self._begun[number] = message.begun
            self._in_flight[number] = message.in_flight
            self._overdue[number] = message.overdue
            counts = sum(self._begun), sum(self._in_flight), sum(self._overdue)
            heard(Standing(message.records, *counts))
        if isinstance(message, Finished):
            return message.stats
        raise await _death(process, message)

    async def _end(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                # Not `process.kill()`: that would reap a process that has just ended, behind the
                # back of asyncio, which complains.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        for process in self._processes:
            await process.wait()


async def _spawn(setup: Setup) -> asyncio.subprocess.Process:
    descriptors = [setup.bodies_fd, setup.table_fd, setup.times_fd]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pilotage.prove.client.sender_process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=[descriptor for descriptor in descriptors if descriptor >= 0],
        start_new_session=True,  # Ctrl-C in the terminal is the parent's to handle
    )
    _tell(process, setup)
    return process


def _tell(process: asyncio.subprocess.Process, message: Setup | Start | Stop) -> None:
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError, RuntimeError):
        process.stdin.write(frame(message))


async def _until_ready(process: asyncio.subprocess.Process) -> None:
    message = await _read(process)
    if not isinstance(message, Ready):
        raise await _death(process, message)


async def _read(process: asyncio.subprocess.Process) -> FromSender | None:
    assert process.stdout is not None
    try:
        header = await process.stdout.readexactly(HEADER_SIZE)
        body = await process.stdout.readexactly(frame_length(header))
    except asyncio.IncompleteReadError:
        return None
    message: FromSender = from_sender_decoder.decode(body)
    return message


async def _death(process: asyncio.subprocess.Process, message: FromSender | None) -> PilotageError:
    """The error for a sender that gave up (``message``) or is gone."""
    if isinstance(message, Failed):
        return PilotageError(f"a sender process gave up: {message.message}")
    assert process.stderr is not None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE_S):
            said = (await process.stderr.read()).decode("utf-8", "replace").strip()
            code = await process.wait()
            last = said.splitlines()[-1] if said else "it said nothing"
            return PilotageError(f"a sender process died with exit code {code}: {last}")
    return PilotageError("a sender process stopped talking")
