"""The edge to the machine: files, the process's own limits, programs. Tests put recordings here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

COMMAND_TIMEOUT_S = 20.0
"""A driver that initialises takes a few seconds to answer; one that hangs must not hold us."""


def _affinity() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(psutil.cpu_count() or 1))


def _run(command: Sequence[str]) -> str | None:
    with suppress(OSError, subprocess.SubprocessError, UnicodeError):
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
            encoding="utf-8",
        )
        if done.returncode == 0:
            return done.stdout
    return None


def _nvml() -> Any | None:
    with suppress(ImportError):
        import pynvml  # noqa: PLC0415 - optional: the package nvidia-ml-py

        return pynvml
    return None


@dataclass(frozen=True, kw_only=True)
class Host:
    """What discovery may ask of the machine.

    Attributes:
        root: Folder that holds ``sys``, ``proc`` and ``dev``.
        environment: The process's environment; some of its variables hide devices.
        affinity: Gives the logical CPUs that this process may run on.
        run: Runs a command and gives what it printed; None if there is none or it failed.
        nvml: Gives the Python binding of NVIDIA's management library (``nvidia-ml-py``), if it
            is installed. It has no types.
    """

    root: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    affinity: Callable[[], frozenset[int]] = _affinity
    run: Callable[[Sequence[str]], str | None] = _run
    nvml: Callable[[], Any | None] = _nvml

    def read(self, path: str) -> str | None:
        """The stripped text of a file such as ``sys/devices/system/cpu/online``, if it is there."""
        with suppress(OSError, UnicodeError):
            return (self.root / path).read_text().strip()
        return None

    def read_int(self, path: str) -> int | None:
        """The number a file holds, if it is there and holds one."""
        with suppress(ValueError):
            return int(self.read(path) or "")
        return None

    def numbered(self, folder: str, prefix: str) -> tuple[int, ...]:
        """The numbers of a folder's entries such as ``node0``, ``node1``, in order."""
        with suppress(OSError):
            names = [entry.name for entry in (self.root / folder).iterdir()]
            tails = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
            return tuple(sorted(int(tail) for tail in tails if tail.isascii() and tail.isdigit()))
        return ()
