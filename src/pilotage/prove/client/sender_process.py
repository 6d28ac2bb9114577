"""The process of a sender: its instructions on standard input, its records on standard output.

Started by `pilotage.prove.client.senders`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from typing import Any

import uvloop

from pilotage.prove.client.messages import (
    HEADER_SIZE,
    Failed,
    Ready,
    Setup,
    Start,
    Stop,
    ToSender,
    frame_length,
    to_sender_decoder,
)
from pilotage.prove.client.reporter import Reporter
from pilotage.prove.client.sender import Sender, reason

_MOST_TRACES = 10
_PRIORITY = -10


class _Complaints:
    """Lets the loop complain a few times only: nobody reads standard error before the end."""

    def __init__(self) -> None:
        self._left = _MOST_TRACES

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if self._left > 0:
            self._left -= 1
            loop.default_exception_handler(context)


async def _main(reporter: Reporter) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    setup = await _read(reader)
    if not isinstance(setup, Setup):
        return
    loop.set_exception_handler(_Complaints())
    if setup.cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, setup.cpus)
    sender = Sender(setup, reporter)
    reporter.send(Ready())
    start = await _read(reader)
    if not isinstance(start, Start):
        return
    listening = asyncio.ensure_future(_listen(reader, sender))
    # Collections would show up as delays of the requests they hit; records are not cyclic.
    gc.collect()
    gc.freeze()
    gc.disable()
    await sender.run(start.at)
    listening.cancel()


async def _listen(reader: asyncio.StreamReader, sender: Sender) -> None:
    """Stop when told to, and when the parent is gone."""
    while not isinstance(await _read(reader), Stop | None):
        pass
    sender.stop()


async def _read(reader: asyncio.StreamReader) -> ToSender | None:
    try:
        header = await reader.readexactly(HEADER_SIZE)
        message: ToSender = to_sender_decoder.decode(await reader.readexactly(frame_length(header)))
    except asyncio.IncompleteReadError:
        return None
    return message


def main() -> int:
    """Run the sender; the parent talks to it over standard input and output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    sys.setswitchinterval(0.0005)  # the reporter's thread must not hold up the loop
    with contextlib.suppress(OSError):
        # Where it is allowed: a sender that waits for its turn measures its own waiting.
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    reporter = Reporter(sys.stdout.buffer)
    try:
        uvloop.run(_main(reporter))
    except OSError as error:
        reporter.send(Failed(reason(error)))
        reporter.close()
        return 1
    reporter.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
