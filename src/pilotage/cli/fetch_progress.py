"""How far a fetch is: bars on a terminal, now and then a line in a log, events for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from pilotage.fetch import Phase, ProgressListener
from pilotage.fetch import Progress as FetchProgress
from pilotage.units import format_size, printable

LINES_EVERY_S: Final = 10.0
EVENTS_EVERY_S: Final = 0.5


@contextmanager
def shown_progress(console: Console | None = None) -> Iterator[ProgressListener]:
    """For people, on standard error: bars that are gone afterwards, or lines where none can be.

    A fetch that is over quickly leaves no line.
    """
    console = console or Console(stderr=True, highlight=False)
    if console.is_terminal:
        with _bars(console) as listener:
            yield listener
    else:
        yield _lines(console)


def json_progress() -> ProgressListener:
    """For programs, on standard output: a JSON line a phase and an end, and two a second."""
    pace = _Pace(EVENTS_EVERY_S)

    def show(progress: FetchProgress) -> None:
        if pace.is_new(progress) or progress.done == progress.total or pace.is_due():
            pace.told(progress)
            print_json(
                event="progress",
                phase=progress.phase.value,
                file=printable(progress.file),
                done=progress.done,
                total=progress.total,
            )

    return show


def print_json(**fields: object) -> None:
    """One JSON line on standard output, at once."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


class _Pace:
    """Whether it is time for another word."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._phase: Phase | None = None
        self._last = time.monotonic()

    def is_new(self, progress: FetchProgress) -> bool:
        return progress.phase is not self._phase

    def is_due(self) -> bool:
        return time.monotonic() - self._last >= self._every_s

    def told(self, progress: FetchProgress) -> None:
        self._phase, self._last = progress.phase, time.monotonic()


@contextmanager
def _bars(console: Console) -> Iterator[ProgressListener]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[Phase, TaskID] = {}

        def show(progress: FetchProgress) -> None:
            if progress.phase is Phase.WAIT:
                console.print(_waiting(progress), markup=False)
                return
            if progress.phase not in tasks:
                tasks[progress.phase] = bars.add_task(progress.phase.value, total=None)
            bars.update(tasks[progress.phase], completed=progress.done, total=progress.total)

        yield show


def _lines(console: Console) -> ProgressListener:
    pace = _Pace(LINES_EVERY_S)

    def show(progress: FetchProgress) -> None:
        if progress.phase is Phase.WAIT:
            console.print(_waiting(progress), markup=False)
        elif pace.is_due():
            total = f" of {format_size(progress.total, digits=3)}" if progress.total else ""
            done = format_size(progress.done, digits=3)
            console.print(f"{progress.phase.value}: {done}{total}", markup=False)
        else:
            return
        pace.told(progress)

    return show


def _waiting(progress: FetchProgress) -> str:
    return f"waiting for {printable(progress.file)}, which fetches this model"
