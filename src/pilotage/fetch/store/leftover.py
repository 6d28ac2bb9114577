"""Whose a staging folder is, read from its name: ``NAME~OWNER~RANDOM``."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pilotage.fetch.store.owner import Owner, parse_owned

TRASH: Final = "trash"
"""Stands for the name of what is about to be deleted."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A staging folder that somebody made.

    Attributes:
        path: The folder.
        name: The revision that is made in it.
        owner: Whose it is; None when it was let go of, or its name says nothing.
        is_free: Whether it was let go of.
    """

    path: Path
    name: str
    owner: Owner | None
    is_free: bool

    @staticmethod
    def at(path: Path) -> Leftover:
        """Read a folder's name."""
        name, owner, is_free = parse_owned(path.name)
        return Leftover(path, name, owner, is_free)

    @property
    def is_rubbish(self) -> bool:
        """Whether it is about to be deleted, or was when its process died."""
        return self.name == TRASH

    @property
    def may_be_taken(self) -> bool:
        """Whether nobody can write to it any more."""
        return self.is_free or (self.owner is not None and self.owner.is_dead)

    @property
    def may_be_copied(self) -> bool:
        """Whether its owner is elsewhere, so that only its heartbeat tells of it."""
        return self.owner is not None and not self.owner.is_here

    @property
    def is_in_use(self) -> bool:
        """Whether its owner is known to live."""
        return self.owner is not None and self.owner.is_here and not self.owner.is_dead

    @property
    def last_write(self) -> float:
        """When something in it was last written; now when it vanishes under us."""
        try:
            newest = self.path.stat().st_mtime
            for base, _, names in os.walk(self.path):
                times = [Path(base, name).lstat().st_mtime for name in (".", *names)]
                newest = max(newest, *times)
        except OSError:
            return time.time()
        return newest
