"""What ``pilotage prove`` shows while it works: a live view for people, JSON lines for programs."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pilotage.prove.experiment import Watcher
from pilotage.units import format_duration

if TYPE_CHECKING:
    from pathlib import Path

    from pilotage.prove.load import Load
    from pilotage.prove.result import Report, Step
    from pilotage.prove.run import Moment
    from pilotage.prove.target.preflight import Preflight

_RECENT_S = 10.0
_SPARKS = " ▁▂▃▄▅▆▇█"
_SPARK_WIDTH = 40
_REFRESH_S = 0.25


class Screen(Watcher, Protocol):
    """A watcher that is also told what comes before and after the load."""

    def waiting(self, what: str) -> None:
        """Something is waited for."""
        ...

    def target(self, flight: Preflight, arrivals: str | None, payloads: str) -> None:
        """The endpoint answers; this is what will be sent."""
        ...

    def report(self, report: Report, files: dict[str, Path]) -> None:
        """The test is over."""
        ...

    def close(self) -> None:
        """Nothing more will be shown."""
        ...


class LiveScreen:
    """A view in the terminal that is redrawn; plain lines where there is no terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._run: _RunView | None = None
        self._prepared = (0, None)

    def waiting(self, what: str) -> None:
        """See `Screen`."""
        self.console.print(Text(what, style="dim"))

    def target(self, flight: Preflight, arrivals: str | None, payloads: str) -> None:
        """See `Screen`."""
        endpoint = flight.endpoint
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        model = f"{endpoint.model} at {endpoint.post_url}"
        table.add_row("target", Text(f"{model} ({'streamed' if flight.stream else 'whole'})"))
        if arrivals:
            table.add_row("arrivals", Text(arrivals))
        table.add_row("payloads", Text(payloads))
        for note in flight.notes:
            table.add_row("note", Text(note))
        self.console.print(table)

    def preparing(self, done: int, planned: int | None) -> None:
        """See `Screen`. Called from another thread."""
        if self._run is None and self.console.is_terminal:
            self._show(Text(f"making requests: {done:,} of {planned or done:,}", style="dim"))

    def started(self, load: Load, warm_up_s: float) -> None:
        """See `Screen`."""
        self._run = _RunView(load, warm_up_s)

    def moment(self, moment: Moment) -> None:
        """See `Screen`."""
        if self._run is not None:
            self._run.see(moment)
            if self.console.is_terminal:
                self._show(self._run.draw())

    def step(self, step: Step) -> None:
        """See `Screen`."""
        self.close()
        found = step.measures.e2e
        p99 = found.p99.value if found is not None else None
        ttft = step.measures.ttft.p99.value if step.measures.ttft is not None else None
        mark, style = ("✓ holds", "green") if step.holds else ("✗ breaks", "red")
        if not step.valid:
            mark, style = "? client too slow", "yellow"
        parts = [
            f"{step.rate:>9.4g}/s",
            Text(f"{mark:<9}", style=style),
            f"TTFT p99 {_time(ttft):>7}  e2e p99 {_time(p99):>7}",
            f"good {step.measures.good_share or 0:>6.1%}",
            step.stopped_early or "",
        ]
        self.console.print(*parts, soft_wrap=True)
        self._run = None

    def report(self, report: Report, files: dict[str, Path]) -> None:
        """See `Screen`."""
        from pilotage.cli.prove_summary import summary  # noqa: PLC0415

        self.close()
        Console(highlight=False, soft_wrap=False).print(summary(report))
        for name, path in files.items():
            self.console.print(Text(f"{name:<8} {path}", style="dim"), soft_wrap=True)

    def close(self) -> None:
        """See `Screen`."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _show(self, what: RenderableType) -> None:
        if self._live is None:
            self._live = Live(console=self.console, transient=True, auto_refresh=False)
            self._live.start()
        self._live.update(what, refresh=True)


class JsonScreen:
    """JSON lines on standard output, the report last."""

    def __init__(self) -> None:
        self._next = 0.0
        self._outcomes: Counter[str] = Counter()

    def waiting(self, what: str) -> None:
        """See `Screen`."""
        self._print(event="waiting", message=what)

    def target(self, flight: Preflight, arrivals: str | None, payloads: str) -> None:
        """See `Screen`."""
        self._print(
            event="target",
            url=flight.endpoint.post_url,
            model=flight.endpoint.model,
            stream=flight.stream,
            arrivals=arrivals,
            payloads=payloads,
            notes=list(flight.notes),
        )

    def preparing(self, done: int, planned: int | None) -> None:
        """See `Screen`."""
        if done == planned:
            self._print(event="prepared", requests=done)

    def started(self, load: Load, warm_up_s: float) -> None:
        """See `Screen`."""
        self._outcomes.clear()
        self._print(event="started", arrivals=load.description, warm_up_s=warm_up_s)

    def moment(self, moment: Moment) -> None:
        """See `Screen`."""
        self._outcomes.update(record.outcome for record in moment.new)
        if (now := time.monotonic()) >= self._next:
            self._next = now + 1.0
            self._print(
                event="progress",
                at=round(moment.at, 3),
                begun=moment.begun,
                in_flight=moment.in_flight,
                outcomes=dict(self._outcomes),
            )

    def step(self, step: Step) -> None:
        """See `Screen`."""
        self._print(
            event="step", rate=step.rate, holds=step.holds, stopped_early=step.stopped_early
        )

    def report(self, report: Report, files: dict[str, Path]) -> None:
        """See `Screen`."""
        import msgspec  # noqa: PLC0415

        named = {name: str(path) for name, path in files.items()}
        self._print(event="report", files=named, report=msgspec.to_builtins(report))

    def close(self) -> None:
        """See `Screen`."""

    @staticmethod
    def _print(**fields: object) -> None:
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()


class _RunView:
    """A run as it is drawn: how far it is, what came back, how latency goes."""

    def __init__(self, load: Load, warm_up_s: float) -> None:
        self._length_s = load.duration_s
        self._warm_up_s = warm_up_s
        self._description = load.description
        self._outcomes: Counter[str] = Counter()
        self._recent: deque[tuple[float, float, float | None, int]] = deque()
        self._history: deque[float] = deque(maxlen=_SPARK_WIDTH)
        self._second: list[float] = []
        self._next_s = 1.0
        self._now: Moment | None = None
        self._drawn = 0.0

    def see(self, moment: Moment) -> None:
        """Take what happened."""
        self._now = moment
        for record in moment.new:
            self._outcomes[record.outcome] += 1
            if record.complete:
                tokens = record.completion_tokens or record.chunks
                self._recent.append((record.end_s, record.e2e_s, record.ttft_s, tokens))
                self._second.append(record.ttft_s if record.ttft_s is not None else record.e2e_s)
        while self._recent and self._recent[0][0] < moment.at - _RECENT_S:
            self._recent.popleft()
        if moment.at >= self._next_s:
            self._next_s = moment.at + 1.0
            if self._second:
                self._history.append(sorted(self._second)[len(self._second) // 2])
                self._second = []

    def draw(self) -> RenderableType:
        """The view."""
        now = self._now
        if now is None:
            return Text("starting …", style="dim")
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold")
        table.add_column()
        total = self._length_s
        at = min(now.at, total) if total else now.at
        part = "warm-up" if now.at < self._warm_up_s else "measuring"
        if total and now.at > total:
            part = "waiting for the last answers"
        shown = f"{at:.0f} s" if total is None else f"{at:.0f} of {total:.0f} s"
        table.add_row(part, Text(f"{shown}   {self._description}"))
        failed = {name: count for name, count in self._outcomes.items() if name != "complete"}
        words = "  ".join(f"{count:,} {name}" for name, count in failed.items())
        table.add_row(
            "requests",
            Text(f"{now.begun:,} sent  {now.in_flight:,} in flight  ")
            + Text(f"{self._outcomes['complete']:,} complete  ", style="green")
            + Text(words, style="red"),
        )
        span = min(_RECENT_S, max(now.at, 0.1))
        rate, tokens = len(self._recent) / span, sum(item[3] for item in self._recent) / span
        table.add_row("last 10 s", Text(f"{rate:,.1f} answers/s  {tokens:,.0f} tokens/s"))
        ttfts = sorted(item[2] for item in self._recent if item[2] is not None)
        ends = sorted(item[1] for item in self._recent)
        for name, values in (("TTFT", ttfts), ("e2e", ends)):
            if values:
                p50, p99 = values[len(values) // 2], values[int(len(values) * 0.99)]
                table.add_row(name, Text(f"p50 {_time(p50)}  p99 {_time(p99)}"))
        if self._history:
            table.add_row("over time", Text(_sparks(list(self._history)), style="cyan"))
        bar = ProgressBar(total=total or 1, completed=at if total else 0, pulse=total is None)
        return Group(bar, table)


def _sparks(values: list[float]) -> str:
    top = max(values) or 1.0
    return "".join(_SPARKS[round(value / top * (len(_SPARKS) - 1))] for value in values)


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else format_duration(max(0.0, seconds), digits=3)
