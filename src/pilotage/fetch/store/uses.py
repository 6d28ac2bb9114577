"""Which revisions must stay: pinned by name, or in use by a process that lives."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from pilotage.fetch.store.heartbeat import beating, filesystem_now
from pilotage.fetch.store.owner import Owner, owned_name, parse_owned

USE_BEAT_S: Final = 30.0
"""Seconds between two heartbeats of a use."""

USE_EXPIRES_AFTER: Final = 900.0
"""Seconds without a heartbeat after which another machine's use is over."""


class Pins:
    """What `prune` keeps.

    Args:
        home: The cache folder.
    """

    def __init__(self, home: Path) -> None:
        self._pins = home / "pins"
        self._uses = home / "uses"

    def pin(self, name: str, source: str) -> None:
        """Keep a revision until it is unpinned.

        Raises:
            OSError: The cache cannot be written.
        """
        self._pins.mkdir(parents=True, exist_ok=True)
        (self._pins / name).write_text(json.dumps({"source": source, "at": time.time()}) + "\n")

    def unpin(self, name: str) -> bool:
        """Keep it no longer; False when it was not pinned.

        Raises:
            OSError: The cache cannot be written.
        """
        try:
            (self._pins / name).unlink()
        except FileNotFoundError:
            return False
        return True

    def is_pinned(self, name: str) -> bool:
        """Whether it was pinned by name."""
        return (self._pins / name).exists()

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """Keep a revision while the block runs, or until this process dies.

        In a cache that cannot be written nothing is noted: what cannot be written from here is
        hardly pruned from here.
        """
        mark = self._uses / owned_name(name, Owner.me())
        with ExitStack() as stack:
            with suppress(OSError):
                self._uses.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(mark.open("xb"))
                stack.callback(_forget, mark)
                stack.enter_context(beating(file.fileno(), USE_BEAT_S))
            yield

    def in_use(self) -> set[str]:
        """The names of the revisions in use. Marks of processes that are gone are removed.

        Raises:
            OSError: The cache cannot be read.
        """
        try:
            marks = sorted(self._uses.iterdir())
        except FileNotFoundError:
            return set()
        alive = set()
        for mark in marks:
            name, owner, _ = parse_owned(mark.name)
            if self._is_over(mark, owner):
                _forget(mark)
            else:
                alive.add(name)
        return alive

    def _is_over(self, mark: Path, owner: Owner | None) -> bool:
        if owner is not None and owner.is_here:
            return owner.is_dead
        try:
            return filesystem_now(self._uses) - mark.stat().st_mtime > USE_EXPIRES_AFTER
        except OSError:
            return False


def _forget(mark: Path) -> None:
    with suppress(OSError):
        mark.unlink()
