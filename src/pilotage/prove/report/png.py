"""The percentile plot as an image, for where no HTML goes."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

from pilotage.errors import PilotageError, UsageError
from pilotage.prove.report import figures
from pilotage.prove.report.facts import METRICS, headline, objective_name
from pilotage.prove.report.files import write_file
from pilotage.prove.result import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"ttft": "#2a6fcf", "tpot": "#17936a", "itl": "#d99a00", "e2e": "#dd6a2f"}
_TICKS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)


def write_png(report: Report, path: Path) -> Path:
    """Draw every latency over its percentiles, each nine of them with the same room.

    Raises:
        PilotageError: matplotlib is not installed.
        UsageError: The report holds no latency, or the file cannot be written there.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise PilotageError(
            "plots as PNG need matplotlib, which is not installed",
            hint="Run: pip install 'pilotage[report]'",
        ) from error
    drawn = {
        metric: [(_nines(share, 1 / (found.count + 1)), value) for share, value in found.curve]
        for metric in METRICS
        if (found := getattr(report.measures, metric)) is not None and found.curve
    }
    if not drawn:
        raise UsageError("the report holds no latency to draw", where=report.name)
    figure = Figure(figsize=(9, 5), dpi=150, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for metric, curve in drawn.items():
        axes.plot(
            *zip(*curve, strict=True), color=_COLOURS[metric], label=METRICS[metric], linewidth=1.8
        )
    for promise in report.verdict.objectives:
        at, colour = _nines(promise.quantile), _COLOURS[promise.metric]
        label = f"{objective_name(promise)} ≤ {figures.promise(promise.target)}"
        axes.plot([at], [promise.target], marker="D", color=colour, fillstyle="none", linestyle="")
        axes.annotate(
            _plain(label),
            (at, promise.target),
            xytext=(-8, 6),
            textcoords="offset points",
            ha="right",
            color=colour,
            fontsize=8,
        )
    _dress(axes, report, max(nines for curve in drawn.values() for nines, _ in curve))
    figure.legend(loc="outside lower center", ncols=len(drawn), frameon=False)
    buffer = io.BytesIO()
    canvas.print_figure(buffer, format="png")
    return write_file(path, buffer.getvalue())


def _dress(axes: Axes, report: Report, end: float) -> None:
    ticks = [share for share in _TICKS if _nines(share) <= end + 0.05]
    axes.set_xticks([_nines(share) for share in ticks], [f"p{share * 100:g}" for share in ticks])
    axes.set_xlim(0, end + 0.05)
    if all(line.get_ydata(orig=False).min() > 0 for line in axes.get_lines()):  # type: ignore[union-attr]
        axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: figures.seconds(value))
    axes.yaxis.set_minor_formatter(lambda _, __: "")
    axes.set_xlabel("Share of requests answered within")
    axes.grid(visible=True, color="#e6e3dc", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(_plain(f"{report.name}: {headline(report).title}"), loc="left", fontsize=11)


def _nines(share: float, rest: float = 1e-6) -> float:
    """0, 1, 2, 3 for p0, p90, p99, p99.9. ``rest`` is what is left above a sample's largest value.

    A share of 1 has no place: the largest of n values stands for 1 - 1/(n + 1) of all requests.
    """
    return -math.log10(max(1 - share, rest))


def _plain(text: str) -> str:
    """``text`` without matplotlib's mathematics: a dollar in a name begins no formula."""
    return text.replace("$", r"\$")
