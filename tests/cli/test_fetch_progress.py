"""What people and programs are told of a fetch."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from pilotage.cli import fetch_progress
from pilotage.cli.fetch_progress import json_progress, shown_progress
from pilotage.fetch import Phase, Progress

WAITING = Progress(Phase.WAIT, "process 1 on \x1b[31m[b]host", 0, None)


def lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)


def test_programs_hear_of_each_phase_and_end_and_not_of_every_byte(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hear = json_progress()
    hear(WAITING)
    for done in range(1001):
        hear(Progress(Phase.DOWNLOAD, "w", done, 1000))
    for done in range(10):
        hear(Progress(Phase.VERIFY, "w", done, None))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(event["phase"], event["done"]) for event in events] == [
        ("wait", 0),
        ("download", 0),
        ("download", 1000),
        ("verify", 0),
    ]
    assert "\x1b" not in events[0]["file"]


def test_a_log_has_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    log = console(terminal=False)
    now = 0.0
    monkeypatch.setattr(fetch_progress.time, "monotonic", lambda: now)
    with shown_progress(log) as hear:
        hear(WAITING)
        for second in range(25):
            now = float(second)
            hear(Progress(Phase.DOWNLOAD, "w", second << 20, 24 << 20))
        now = 40.0
        hear(Progress(Phase.UNPACK, "w", 1000, None))
    assert lines(log) == [
        "waiting for process 1 on \\x1b[31m[b]host, which fetches this model",
        "download: 10MiB of 24MiB",
        "download: 20MiB of 24MiB",
        "unpack: 1000B",
    ]


def test_a_quick_fetch_leaves_no_line() -> None:
    log = console(terminal=False)
    with shown_progress(log) as hear:
        hear(Progress(Phase.DOWNLOAD, "w", 1, 1))
    assert lines(log) == []


def test_a_terminal_has_a_bar_a_phase() -> None:
    terminal = console(terminal=True)
    with shown_progress(terminal) as hear:
        hear(WAITING)
        hear(Progress(Phase.DOWNLOAD, "w", 5_000_000, 10_000_000))
        hear(Progress(Phase.VERIFY, "w", 1, None))
    text = "\n".join(lines(terminal))
    assert "waiting for process 1 on \\x1b" in text
    assert "5.0/10.0 MB" in text
    assert "verify" in text
