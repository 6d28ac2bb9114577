"""The memory of the plan and of its rivals as bars, a stretch a term, all on one scale."""

from __future__ import annotations

from markupsafe import Markup

from pilotage.plan.option import Option
from pilotage.plan.report import figures
from pilotage.plan.report.memory_bar import FREE, memory_parts
from pilotage.plan.report.svg import element, figure, joined, key_entry, mark
from pilotage.plan.report.wording import label
from pilotage.plan.result import Plan

_WIDTH, _ROW, _BAR = 980, 46, 18
_TONES = ("s1", "s3", "s5", "s2", "s8", "s7", "s4", "s6")
_RIVALS = 4


def memory_chart(plan: Plan) -> Markup | None:
    """A bar for the plan, each of the first runners-up, and the nearest miss."""
    options = _shown(plan)
    if not options:
        return None
    longest = max(_length(option) for option in options)
    names = dict.fromkeys(part.name for option in options for part in memory_parts(option))
    tones = dict(zip((name for name in names if name != FREE), _cycled(len(names)), strict=False))
    parts = []
    for place, option in enumerate(options):
        top = place * _ROW
        estimate = option.estimate
        used = estimate.memory.value if estimate and estimate.memory else 0.0
        has = estimate.memory_bytes if estimate else None
        size = figures.size(used) + (f" of {figures.size(has)}" if has else "")
        role = (
            " (the plan)" if option is plan.chosen else "" if option.feasible else " (nearest miss)"
        )
        parts.append(element("text", label(option.configuration) + role, x=0, y=top + 13))
        parts.append(
            element("text", size, x=_WIDTH, y=top + 13, text_anchor="end", class_="figure")
        )
        parts.append(_bar(option, top + 19, _WIDTH * _length(option) / longest, tones))
    height = len(options) * _ROW
    drawn = figure("memory", "Memory of one accelerator", _WIDTH, height, parts)
    return joined([drawn, _key(tones)])


def _shown(plan: Plan) -> list[Option]:
    """The chosen, runners-up on other hardware or in another format, the nearest miss."""
    wanted = [plan.chosen, *plan.runners_up, plan.nearest_miss]
    found: dict[str, Option] = {}
    for option in wanted:
        if option is not None and memory_parts(option):
            found.setdefault(_look(option), option)
    kept = list(found.values())[: _RIVALS + 1]
    miss = plan.nearest_miss
    if miss is not None and memory_parts(miss) and not any(one is miss for one in kept):
        kept = [*kept[:_RIVALS], miss]
    return kept


def _look(option: Option) -> str:
    """Two bars that look alike say nothing twice."""
    return repr([(part.name, round(part.bytes)) for part in memory_parts(option)])


def _length(option: Option) -> float:
    return sum(part.bytes for part in memory_parts(option))


def _cycled(count: int) -> list[str]:
    return [_TONES[place % len(_TONES)] for place in range(count)]


def _bar(option: Option, top: float, width: float, tones: dict[str, str]) -> Markup:
    estimate = option.estimate
    formulas = (
        {term.name: term.formula for term in estimate.memory.terms}
        if estimate and estimate.memory
        else {}
    )
    drawn, at = [], 0.0
    for part in memory_parts(option):
        wide = part.share * width
        tone = tones.get(part.name, "free")
        box = element("rect", x=at, y=float(top), width=wide, height=_BAR, class_=f"stretch {tone}")
        size = f"{figures.size(part.bytes)}, {figures.share(part.share)}"
        tip = [part.name, size, *filter(None, [formulas.get(part.name)])]
        drawn.append(mark(tip, at + wide / 2, top + _BAR / 2, [box]))
        at += wide
    has = estimate.memory_bytes if estimate else None
    if has and has < _length(option):
        # What is there ends before what is needed does.
        end = width * has / _length(option)
        drawn.append(
            element("line", x1=end, x2=end, y1=top - 4.0, y2=top + _BAR + 4.0, class_="end")
        )
    return joined(drawn)


def _key(tones: dict[str, str]) -> Markup:
    entries = [key_entry(tone, name) for name, tone in (*tones.items(), (FREE, "free"))]
    return element("ul", joined(entries), class_="key")
