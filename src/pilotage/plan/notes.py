"""What a reader of a plan is told besides the figures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pilotage.plan.found import Judged
from pilotage.plan.question import Question
from pilotage.plan.replay import Recording
from pilotage.plan.report.wording import in_seconds
from pilotage.plan.result import Note
from pilotage.plan.strategies import Circumstances, notes_of
from pilotage.units import format_duration

_PLANNED_WITH: Final = ("vllm", "neuron")
"""Engines whose speed the shipped calibration has, or whose note says that it is a prior."""


def notes_on(
    question: Question, chosen: Judged | None, circumstances: Circumstances
) -> Iterable[Note]:
    """What the plan takes for granted, a sentence each, with its source where it has one."""
    demand = question.demand
    for text in question.notes:
        yield Note(text=text)
    if question.recording is not None:
        yield Note(text=_replayed(question.recording), source=question.recording.name)
    elif demand.peak > demand.rate and demand.shape != "batch":
        yield Note(
            text=f"Latencies are those of the busiest minutes, at the peak of {demand.peak:g}/s; "
            "at the average rate they are better."
        )
    if chosen is None or chosen.option.cost is None:
        return
    one = chosen.option.configuration
    for text in notes_of(one, demand, circumstances):
        yield Note(text=text[:1].upper() + text[1:] + ".")
    if chosen.sized is None:
        return
    eff = chosen.sized.rated.model.efficiency
    yield Note(text=f"Speed of {chosen.sized.rated.layout.accelerator.title}", source=eff.source)
    if one.engine not in _PLANNED_WITH:
        yield Note(text=f"The speed is vLLM's: that of {one.engine} was not measured.")
    if demand.shape == "spiky" and one.max_count == one.count > 1 and demand.peak > demand.rate:
        yield Note(
            text="The peak's capacity stays up: bursts of "
            f"{in_seconds(question.assumptions.burst_s)} are over before an instance has started. "
            "If busy phases last hours, say so with --assume burst=2h."
        )
    if one.precision is not None and question.dtype == "auto":
        stored = question.anatomy.stored
        if stored is not None and one.precision.name not in (stored.name, "fp16", "bf16"):
            yield Note(
                text=f"Weights become {one.precision.name} when they are loaded; "
                "--assume quality=stored keeps what the files hold."
            )
    if one.strategy == "machine":
        yield Note(text="One machine has no stand-in: while it restarts nobody is served.")


def _replayed(recording: Recording) -> str:
    whole = recording.requests == len(recording.times_s)
    which = "whole trace" if whole else f"busiest {format_duration(recording.length_s, digits=3)}"
    begin = "" if whole else f", from {format_duration(recording.begin_s, digits=3)} on"
    return (
        f"The trace was replayed: latencies are those of its {which}{begin}: "
        f"{recording.requests:,} requests at their own times, with their own lengths."
    )
