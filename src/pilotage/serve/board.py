"""The board: a few counters of one process in shared memory, for its supervisor to read.

A board is a small mapped file. It can be read while the process that writes it is busy, stopped
or dead, which is what makes it fit to tell a hung worker from a busy one. Every field is an
aligned 64-bit integer with a single writer, so no lock is needed.
"""

from __future__ import annotations

import mmap
import struct
import time
from enum import IntEnum
from pathlib import Path
from typing import Final

_FIELDS: Final = ("state", "beats", "steps", "running", "tokens", "restarts", "cpu_us")
_SIZE: Final = 8 * len(_FIELDS)
_INTEGER: Final = struct.Struct("<Q")


class State(IntEnum):
    """Where a process is in its life."""

    STARTING = 0
    READY = 1
    DRAINING = 2
    STOPPED = 3


class Board:
    """Counters of one process; ``restarts`` is the supervisor's, the rest the process's own.

    Attributes:
        beats: Grows whenever the engine loop comes round: after each step, and every second
            when idle. It is written by the very thread that runs the engine.
        steps: Engine steps so far.
        running: Requests the engine holds.
        tokens: Tokens generated so far.
        restarts: Times the process had to be replaced.
        cpu_s: CPU seconds that the process has used, as of its last beat.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if create:
            path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _SIZE)

    def _get(self, field: str) -> int:
        value: int = _INTEGER.unpack_from(self._map, 8 * _FIELDS.index(field))[0]
        return value

    def _set(self, field: str, value: int) -> None:
        _INTEGER.pack_into(self._map, 8 * _FIELDS.index(field), value)

    @property
    def state(self) -> State:
        """Where the process is in its life."""
        return State(self._get("state"))

    @state.setter
    def state(self, state: State) -> None:
        self._set("state", state)

    @property
    def beats(self) -> int:
        """Rounds of the engine loop."""
        return self._get("beats")

    @property
    def restarts(self) -> int:
        """Times the process had to be replaced."""
        return self._get("restarts")

    @restarts.setter
    def restarts(self, count: int) -> None:
        self._set("restarts", count)

    @property
    def steps(self) -> int:
        """Engine steps so far."""
        return self._get("steps")

    @property
    def running(self) -> int:
        """Requests the engine holds."""
        return self._get("running")

    @property
    def tokens(self) -> int:
        """Tokens generated so far."""
        return self._get("tokens")

    @property
    def cpu_s(self) -> float:
        """CPU seconds that the process has used, as of its last beat."""
        return self._get("cpu_us") / 1e6

    def beat(self, *, stepped: bool = False, running: int = 0, new_tokens: int = 0) -> None:
        """Say that the loop came round."""
        self._set("beats", self.beats + 1)
        self._set("running", running)
        self._set("cpu_us", time.process_time_ns() // 1000)
        if stepped:
            self._set("steps", self.steps + 1)
            self._set("tokens", self.tokens + new_tokens)
