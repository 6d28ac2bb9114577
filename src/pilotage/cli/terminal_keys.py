"""Single keys from the terminal, and its state put back whatever happens."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

CTRL_C = "\x03"
_LEAVE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Keys:
    """Waits for a key or a wake-up from another thread. Use as `keys()` gives it."""

    def __init__(self, terminal: int | None) -> None:
        self._terminal = terminal
        self._leaving = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    @property
    def listening(self) -> bool:
        """Whether there is a terminal to press keys on."""
        return self._terminal is not None

    def wake(self) -> None:
        """Let `wait` return; from any thread."""
        with suppress(BlockingIOError, OSError):
            os.write(self._write, b"\0")

    def leave(self) -> None:
        """From now on `wait` gives Ctrl-C."""
        self._leaving = True
        self.wake()

    def wait(self, seconds: float) -> str:
        """Keys that were pressed; empty after a wake-up or when the time is over."""
        files = [self._read] if self._terminal is None else [self._read, self._terminal]
        ready, _, _ = select.select(files, [], [], seconds)
        if self._read in ready:
            os.read(self._read, 4096)
        if self._leaving:
            return CTRL_C
        if self._terminal in ready:
            pressed = os.read(self._terminal, 64) if self._terminal is not None else b""
            if not pressed:  # the terminal is gone
                self._terminal = None
            return pressed.decode("utf-8", "replace")
        return ""

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._read)
        os.close(self._write)


@contextmanager
def keys() -> Iterator[Keys]:
    """Keys as they are pressed, without Enter and without echo.

    Ctrl-C and a request to end (SIGTERM, SIGHUP) are keys as well: `CTRL_C`. An exception that is
    raised wherever the program happens to be could be lost there, in a finaliser for one, and the
    terminal would not be put back.
    """
    terminal = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
    if terminal is not None and os.getpgrp() != os.tcgetpgrp(terminal):
        terminal = None  # in the background; touching the terminal would stop us
    saved = None
    found = Keys(terminal)

    def leave(_number: int, _frame: FrameType | None) -> None:
        found.leave()

    handlers = [(one, signal.signal(one, leave)) for one in _LEAVE]
    try:
        saved = _single_keys(terminal)
        yield found
    finally:
        if terminal is not None and saved is not None:
            import termios  # noqa: PLC0415 - not on Windows

            with suppress(termios.error):
                termios.tcsetattr(terminal, termios.TCSADRAIN, saved)
        for number, handler in handlers:
            signal.signal(number, handler)
        found.close()


def _single_keys(terminal: int | None) -> list[Any] | None:
    if terminal is None:
        return None
    import termios  # noqa: PLC0415 - not on Windows
    import tty  # noqa: PLC0415

    saved = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    return saved
