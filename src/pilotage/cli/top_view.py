"""What ``pilotage top`` draws: the server in two lines, its models, one block a device slice."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from pilotage.cli.top_figures import Figures, ModelFigures, SliceFigures
from pilotage.units import format_duration, format_size, printable

_SPARKS = "▁▂▃▄▅▆▇█"
_HISTORY = 60
_BAR = 20
_WIDE = 72
"""Columns from which bars and sparklines have their full width."""

UNKNOWN = "-"


class History:
    """What a screen remembers: rates for the sparklines, and each model's last known times."""

    def __init__(self) -> None:
        self._rates: dict[str, deque[float]] = {}
        self._times: dict[str, tuple[float | None, float | None]] = {}

    def add(self, figures: Figures) -> None:
        """Keep what one interval brought; where it brought nothing, what was known stays."""
        for model in figures.models:
            if model.ttft_p50_s is not None:
                self._times[model.model] = (model.ttft_p50_s, model.ttft_p95_s)
        rates = [("", figures.tokens_per_s)]
        rates += [(one.worker, one.tokens_per_s) for one in figures.slices]
        for worker, rate in rates:
            if rate is not None:
                self._rates.setdefault(worker, deque(maxlen=_HISTORY)).append(rate)

    def times(self, model: str) -> tuple[float | None, float | None]:
        """TTFT p50 and p95 of the last interval in which an answer began, seconds."""
        return self._times.get(model, (None, None))

    def sparkline(self, worker: str, width: int) -> str:
        """The last ``width`` intervals of a worker, or of the server (``""``), its peak the top."""
        rates = list(self._rates.get(worker, ()))[-width:]
        peak = max(rates, default=0.0)
        if peak <= 0:
            return _SPARKS[0] * len(rates)
        top = len(_SPARKS) - 1
        return "".join(_SPARKS[round(rate / peak * top)] for rate in rates)


def draw(
    figures: Figures | None,
    history: History,
    *,
    url: str,
    width: int,
    trouble: str | None = None,
    keys: bool = False,
) -> RenderableType:
    """The whole screen.

    Args:
        figures: The last that are known.
        history: For the sparklines.
        url: The server's address.
        width: Columns of the terminal.
        trouble: Why there is nothing new, if there is not.
        keys: Whether keys are listened to, which is then said.
    """
    wide = width >= _WIDE
    head = Text.assemble(
        ("pilotage top ", "bold"), printable(url), overflow="ellipsis", no_wrap=True
    )
    if figures is not None and figures.version:
        head.append(f"  {printable(figures.version)}", style="dim")
    if keys and wide:
        head.append("  q quits", style="dim")
    parts: list[RenderableType] = [head]
    if trouble is not None:
        parts.append(Text(f"● {printable(trouble)}", style="bold red"))
    if figures is not None:
        parts.append(_server(figures, history, wide=wide))
        if figures.models:
            parts += [Text(), _models(figures.models, history, wide=wide)]
        for one in figures.slices:
            parts += [_title(one), _slice(one, history, wide=wide)]
    return Group(*parts)


def _server(figures: Figures, history: History, *, wide: bool) -> Text:
    text = Text()
    text.append(f"{_rate(figures.tokens_per_s)} tokens/s ", style="bold")
    text.append(history.sparkline("", 30 if wide else 10), style="cyan")
    text.append(f"  {_rate(figures.requests_per_s)} requests/s")
    text.append(f"  in flight {figures.in_flight:,}")
    style = "yellow" if figures.queue else ""
    text.append(f"  queue {figures.queue:,} ({figures.queue_tokens:,} tokens)", style=style)
    refused = figures.refused_per_s
    if refused:
        text.append(f"  refused {_rate(refused)}/s", style="red")
    return text


def _models(models: Iterable[ModelFigures], history: History, *, wide: bool) -> Table:
    table = Table(box=None, padding=(0, 2 if wide else 1, 0, 0), header_style="dim")
    table.add_column("model", overflow="ellipsis", no_wrap=True, min_width=8)
    for name in ("queue", "req/s", "TTFT p50" if wide else "TTFT", "p95"):
        table.add_column(name, justify="right", no_wrap=True, min_width=5)
    for model in models:
        # An interval without an answer shows the times of the last one that had some, dimly.
        style = "dim" if model.ttft_p50_s is None else ""
        p50, p95 = history.times(model.model)
        table.add_row(
            Text(printable(model.model)),
            UNKNOWN if model.queue is None else f"{model.queue:,}",
            _rate(model.requests_per_s),
            Text(_seconds(p50), style=style),
            Text(_seconds(p95), style=style),
        )
    return table


def _title(one: SliceFigures) -> Rule:
    state = ("● up", "green") if one.up else ("● down", "bold red")
    title = Text.assemble(
        (printable(one.device or f"worker {one.worker}"), "bold"),
        (f"  worker {printable(one.worker)}" if one.device else "", "dim"),
        "  ",
        state,
        "  ",
        (f"{_counted(one.restarts, 'restart')}", "yellow" if one.restarts else "dim"),
    )
    return Rule(title, align="left", style="dim")


def _slice(one: SliceFigures, history: History, *, wide: bool) -> Table:
    bar = _BAR if wide else _BAR // 2
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(no_wrap=True, width=bar)
    grid.add_column(overflow="fold")
    busy = Text(_share(one.utilisation))
    if one.cpu_cores is not None:
        busy.append(f"  {one.cpu_cores:.1f} CPU cores", style="dim")
    grid.add_row("busy", _bar(one.utilisation, bar), busy)
    for number, use in one.devices.items():
        memory = format_size(use.memory_used_bytes, digits=3)
        if use.memory_bytes:
            memory += f" of {format_size(use.memory_bytes, digits=3)}"
        grid.add_row(
            Text(printable(f"{one.device.partition(':')[0]} {number}")),
            _bar(use.utilisation, bar),
            Text(f"{_share(use.utilisation)}  {memory}"),
        )
    kv = Text(_share(one.kv_usage) if one.kv_tokens else UNKNOWN)
    if one.kv_tokens:
        kv.append(f" of {one.kv_tokens:,} tokens", style="dim")
    grid.add_row("KV cache", _bar(one.kv_usage if one.kv_tokens else None, bar), kv)
    generated = Text(f"{_rate(one.tokens_per_s)} tokens/s  running {one.running:,}")
    if one.batch is not None:
        generated.append(f"  batch {one.batch:.1f}", style="dim")
    grid.add_row("output", Text(history.sparkline(one.worker, bar), style="cyan"), generated)
    most = max((model.memory_bytes for model in one.models), default=0)
    for place, model in enumerate(one.models):
        share = model.memory_bytes / most if most else None
        what = Text.assemble(
            format_size(model.memory_bytes, digits=3) if model.memory_bytes else UNKNOWN,
            f"  {printable(model.model)}",
            (f"  running {model.running:,}", "dim"),
        )
        grid.add_row("" if place else "memory", _bar(share, bar, style="blue"), what)
    return grid


def _bar(share: float | None, width: int, *, style: str | None = None) -> Text:
    if share is None:
        return Text("·" * width, style="dim")
    full = round(min(1.0, max(0.0, share)) * width)
    colour = style or ("red" if share > 0.95 else "yellow" if share > 0.8 else "green")
    return Text.assemble(("█" * full, colour), ("░" * (width - full), "dim"))


def _share(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share:4.0%}"


def _rate(rate: float | None) -> str:
    if rate is None:
        return UNKNOWN
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def _seconds(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else format_duration(seconds, digits=3)


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
