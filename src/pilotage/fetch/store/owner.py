"""Who holds a folder or a file of the store, and whether that process is provably dead.

A process id means something only where it was given: on one boot of one kernel, in one process
namespace. So an owner is written as three things, ``PLACE-PID-START``: a digest of the boot and
the namespaces, the process id, and the process's start time, which tells it from a later process
with the same id. Of an owner in another place (another host, another container) nothing can be
proven; its heartbeat is all there is to go by.

The number of a dead namespace may be given to a new one, but only when every process of the old
one is gone; so the answer "dead" stays true.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACES: Final = ("pid", "time")
_FORM: Final = re.compile(r"([0-9a-z]{1,16})-([0-9]{1,10})-([0-9]{1,20})")
_STARTED: Final = 19  # field 22 of /proc/PID/stat, counted from the one after the name
_NOWHERE: Final = "unknown"
_MARK: Final = "~"
_FREE: Final = "free"


@dataclass(frozen=True, slots=True)
class Owner:
    """One process on one boot of one machine.

    Attributes:
        place: A digest of the boot id and the process namespaces; ``unknown`` where there is none.
        pid: The process id, as seen in that place.
        start: When the process started, in the kernel's clock ticks since boot.
    """

    place: str
    pid: int
    start: int

    @staticmethod
    def me() -> Owner:
        """This process."""
        pid = os.getpid()
        return Owner(_place(), pid, _start_of(pid) or 0)

    @staticmethod
    def parse(text: str) -> Owner | None:
        """The owner that `str` wrote; None when it is something else."""
        match = _FORM.fullmatch(text)
        return Owner(match[1], int(match[2]), int(match[3])) if match else None

    def __str__(self) -> str:
        return f"{self.place}-{self.pid}-{self.start}"

    @property
    def is_here(self) -> bool:
        """Whether this process can tell if the owner lives."""
        return self.place != _NOWHERE and self.place == _place()

    @property
    def is_dead(self) -> bool:
        """Whether the owner is proven to be gone; False when that cannot be known."""
        if not self.is_here:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # it lives, under another user
        start = _start_of(self.pid)
        return start is not None and (start != self.start or _is_zombie(self.pid))


def owned_name(name: str, owner: Owner | None) -> str:
    """A new name for a file of `owner`'s, or of nobody's: ``NAME~OWNER~RANDOM``."""
    return _MARK.join((name, str(owner) if owner else _FREE, secrets.token_hex(4)))


def parse_owned(file_name: str) -> tuple[str, Owner | None, bool]:
    """The name and the owner that `owned_name` joined, and whether it is nobody's."""
    name, _, rest = file_name.partition(_MARK)
    whose = rest.partition(_MARK)[0]
    return name, Owner.parse(whose), whose == _FREE


def _place() -> str:
    try:
        parts = [_BOOT_ID.read_text().strip()]
        parts += [str(Path(f"/proc/self/ns/{name}").stat().st_ino) for name in _NAMESPACES]
    except OSError:  # no Linux, or a sandbox that hides it
        return _NOWHERE
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]


def _stat_of(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the process's name, which may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _start_of(pid: int) -> int | None:
    fields = _stat_of(pid)
    return int(fields[_STARTED]) if fields else None


def _is_zombie(pid: int) -> bool:
    """Whether it is over and only its parent has not noticed: none of its threads is left."""
    fields = _stat_of(pid)
    if not fields or fields[0] != "Z":
        return False
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir())) <= 1
    except OSError:
        return False
