"""Leases: of several processes that want one revision, one fetches it and the others wait.

A lease saves bandwidth and nothing else: whoever has none may still fetch and publish, and a lease
that is wrong for a moment costs a second download, never a wrong byte. So it needs nothing but
files, and works where ``flock`` does nothing (Lustre, GPFS, some NFS).

It is a file made with ``O_EXCL``. Its holder touches it every few seconds for as long as the fetch
makes progress. A waiter takes it over when its owner is proven to be dead, or when it has seen the
file stay as it is for `Timing.lease_s` of its own monotonic clock: no two machines' clocks are ever
compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilotage.fetch.progress import Phase, Progress, ProgressListener, unheard
from pilotage.fetch.store.heartbeat import beating
from pilotage.fetch.store.owner import Owner


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient processes are with one another; all in seconds.

    Attributes:
        beat_s: Between two heartbeats.
        lease_s: Without a heartbeat, after which a lease is taken over.
        stuck_s: Without progress, after which a holder sends no more heartbeats.
        wait_s: After which a waiter fetches by itself.
        poll_s: Between two looks of a waiter.
    """

    beat_s: float = 5.0
    lease_s: float = 30.0
    stuck_s: float = 900.0
    wait_s: float = 12 * 3600.0
    poll_s: float = 0.25


class Turn:
    """One process's turn at a revision.

    Attributes:
        is_held: Whether it holds the lease; False when it came too late or waited long enough.
    """

    def __init__(self, *, is_held: bool) -> None:
        self.is_held = is_held
        self._last = time.monotonic()

    def watching(self, listener: ProgressListener) -> ProgressListener:
        """`listener`, and every word it hears is a sign that the fetch goes on."""

        def hear(progress: Progress) -> None:
            self._last = time.monotonic()
            listener(progress)

        return hear

    def idle_s(self) -> float:
        """Seconds since the fetch last made progress."""
        return time.monotonic() - self._last


@contextmanager
def take_turn(
    path: Path, timing: Timing, is_over: Callable[[], bool], progress: ProgressListener = unheard
) -> Iterator[Turn]:
    """Hold the lease at `path` while the block runs, waiting for it first if need be.

    Args:
        path: The lease file; its folder exists.
        timing: How patient to be.
        is_over: Whether there is nothing left to wait for, as the revision is there.
        progress: Told once whom it waits for.

    Raises:
        OSError: The lease cannot be written.
    """
    content = _content()
    seen, since = b"", time.monotonic()
    deadline = since + timing.wait_s
    told = False
    while True:
        if (descriptor := _create(path, content)) is not None:
            break
        state = _look(path)
        if state is None:
            continue  # it was let go of this moment
        now = time.monotonic()
        if state.sign != seen:
            seen, since = state.sign, now
        silence = now - since
        # Who breaks a lease holds a marker for a moment; one that stays is a killed process's.
        if (state.is_dead or silence > timing.lease_s) and _break(
            path, state.content, marker_is_stale=silence > 2 * timing.lease_s
        ):
            continue
        if not told:
            progress(Progress(Phase.WAIT, state.holder, 0, None))
            told = True
        if is_over() or now > deadline:
            yield Turn(is_held=False)
            return
        time.sleep(timing.poll_s)
    turn = Turn(is_held=True)
    try:
        with beating(descriptor, timing.beat_s, while_=lambda: turn.idle_s() < timing.stuck_s):
            yield turn
    finally:
        os.close(descriptor)
        with suppress(OSError):
            if path.read_bytes() == content:
                path.unlink()


@dataclass(frozen=True, slots=True)
class _State:
    """A lease as it was seen: its content, and what changes with every heartbeat."""

    content: bytes
    sign: bytes

    @property
    def is_dead(self) -> bool:
        owner = Owner.parse(str(self._said("owner")))
        return owner is not None and owner.is_dead

    @property
    def holder(self) -> str:
        owner = Owner.parse(str(self._said("owner")))
        host = "".join(c for c in str(self._said("host")) if c.isprintable())[:80]
        return f"process {owner.pid} on {host}" if owner else "another process"

    def _said(self, key: str) -> Any:
        try:
            data = json.loads(self.content)
        except ValueError:  # its owner has not written it yet
            return None
        return data.get(key) if isinstance(data, dict) else None


def _content() -> bytes:
    data = {
        "owner": str(Owner.me()),
        "host": socket.gethostname(),
        "token": secrets.token_hex(8),
    }
    return json.dumps(data).encode() + b"\n"


def _create(path: Path, content: bytes) -> int | None:
    """The open lease; None when there is one already."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return None
    try:
        os.write(descriptor, content)
    except OSError:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return descriptor


def _look(path: Path) -> _State | None:
    try:
        with path.open("rb") as file:
            content = file.read(4096)
            stat = os.fstat(file.fileno())
    except FileNotFoundError:
        return None
    return _State(content, content + str((stat.st_ino, stat.st_mtime_ns)).encode())


def _break(path: Path, content: bytes, *, marker_is_stale: bool) -> bool:
    """Remove the lease that has `content`, and not one that a faster waiter has made since.

    False when another process is about to do it.

    Only who makes the marker, whose name is that content's, may remove that lease.
    """
    marker = path.with_name(f"{path.name}.{hashlib.sha256(content).hexdigest()[:16]}")
    if marker_is_stale:
        marker.unlink(missing_ok=True)
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    try:
        with suppress(FileNotFoundError):
            if path.read_bytes() == content:
                path.unlink()
    finally:
        marker.unlink(missing_ok=True)
    return True
