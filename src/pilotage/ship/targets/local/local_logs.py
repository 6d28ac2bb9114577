"""What the processes of a local deployment wrote."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pilotage.ship.lifecycle.outcome import LogLine
from pilotage.units import printable

_READ_BYTES: Final = 4 << 20
_POLL_S: Final = 0.3


def read_logs(folder: Path, *, since_s: float, most: int, follow: bool) -> Iterator[LogLine]:
    """The last ``most`` lines of the last ``since_s`` seconds of all logs, then new ones."""
    start = datetime.fromtimestamp(max(0.0, time.time() - since_s), UTC)
    ends: dict[Path, int] = {}
    lines: list[LogLine] = []
    for path in sorted(folder.glob("*.log")):
        text, ends[path] = _read(path, None)
        lines += [one for one in _lines(path, text) if one.at >= start]
    lines.sort(key=lambda one: one.at)
    yield from lines[-most:] if most else []
    while follow:
        time.sleep(_POLL_S)
        fresh: list[LogLine] = []
        for path in sorted(folder.glob("*.log")):
            text, ends[path] = _read(path, ends.get(path, 0))
            fresh += _lines(path, text)
        yield from sorted(fresh, key=lambda one: one.at)


def last_lines(path: Path, most: int) -> list[str]:
    """The last lines of a log, for an error."""
    try:
        text, _ = _read(path, None)
    except OSError:
        return []
    return [printable(line[:400]) for line in deque(text.splitlines(), maxlen=most)]


def _read(path: Path, start: int | None) -> tuple[str, int]:
    """Whole lines from a place on, or the last of the file, and where they end."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if start is None or start > size:  # the supervisor has shortened it
            start = max(0, size - _READ_BYTES)
        file.seek(start)
        data = file.read(_READ_BYTES)
    whole = data[: data.rfind(b"\n") + 1]
    return whole.decode(errors="replace"), start + len(whole)


def _lines(path: Path, text: str) -> Iterator[LogLine]:
    """Lines with their times; one without has that of the line before it."""
    at = datetime.fromtimestamp(0, UTC)
    held: list[str] = []
    for line in text.splitlines():
        found = _time_of(line)
        if found is None and at.year == 1970:
            held.append(line)  # what came before the first time
            continue
        at = found or at
        yield from (LogLine(at=at, stream=path.stem, text=one) for one in held)
        held = []
        yield LogLine(at=at, stream=path.stem, text=line)
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    yield from (LogLine(at=written, stream=path.stem, text=one) for one in held)


def _time_of(line: str) -> datetime | None:
    if not line.startswith("{"):
        return None
    try:
        found = datetime.fromisoformat(json.loads(line)["ts"])
    except (ValueError, KeyError, TypeError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
