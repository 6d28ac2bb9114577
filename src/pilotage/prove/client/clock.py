"""A timer that fires when it is due, not at the next millisecond.

Event loops round their timers up to whole milliseconds (epoll's unit), so a request due in between
would always be late. Linux has timers that are file descriptors with nanosecond resolution, which
an event loop can wait for like any other; elsewhere the loop's own timer is used.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable

_CLOCK_MONOTONIC = 1  # what time.monotonic() reads on Linux
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_TFD_TIMER_ABSTIME = 1


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class Timer:
    """Calls back at one time after another, each a reading of ``time.monotonic()``.

    Args:
        loop: The running event loop.
        callback: Called in the loop when the time has come.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None
        self._fd = -1
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._fd >= 0:
            loop.add_reader(self._fd, self._fired)

    def arm(self, at: float) -> None:
        """Call back at ``at`` instead of any earlier set time; at once if it has passed."""
        if self._fd < 0:
            if self._handle is not None:
                self._handle.cancel()
            self._handle = self._loop.call_at(at, self._callback)
            return
        # A time of 0 would disarm the timer; a time in the past fires at once.
        nanoseconds = max(1, int(at * 1e9))
        spec = _TimerSpec(_TimeSpec(0, 0), _TimeSpec(*divmod(nanoseconds, 1_000_000_000)))
        self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None)

    def close(self) -> None:
        """Never call back again."""
        if self._handle is not None:
            self._handle.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _fired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        self._callback()


async def sleep_until(at: float) -> None:
    """Return when ``time.monotonic()`` has reached ``at``, never before.

    An event loop's sleep may end early: uvloop rounds to the nearest millisecond.
    """
    while (early := at - time.monotonic()) > 0:  # noqa: ASYNC110 - the clock sets no event
        await asyncio.sleep(early)
