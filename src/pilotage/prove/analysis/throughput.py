"""Rates, and how busy the endpoint was, over the measured part of a run.

**Which answers count.** A server that cannot keep up answers many requests only after the last one
was due. Dividing all answers by the time in which requests were due would make it look as fast as
the load; dividing by the time until the last answer would make every server look slower the
shorter the run. So answers count when they became whole within the measured window, those to
warm-up requests too: in a steady state as many come in at its beginning as are cut off at its end,
and no server seems faster than it is. Output tokens count as they came: of a stream that reaches
over an edge of the window, the part inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pilotage.prove.analysis.token_counts import Counts, completion_tokens, prompt_tokens
from pilotage.prove.record import Record
from pilotage.prove.trial import Trial


@dataclass(frozen=True)
class Window:
    """A part of the run, in seconds since its start.

    Attributes:
        start: Its beginning.
        end: Its end.
    """

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    def rate(self, amount: float) -> float:
        """``amount`` a second; 0 in a window without length."""
        return amount / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Throughput:
    """What came through in a window.

    Attributes:
        completed: Complete answers a second.
        output_tokens: Output tokens a second; None if nobody counted tokens.
        prompt_tokens: Prompt tokens of complete answers a second; None likewise.
        idle_share: Share of the window with no request in flight.
        mean_in_flight: Requests in flight on average.
    """

    completed: float
    output_tokens: float | None
    prompt_tokens: float | None
    idle_share: float
    mean_in_flight: float


def window(trial: Trial) -> Window:
    """The part of the run to which rates refer.

    It is the measured part: from the warm-up's end until requests were no longer due. Only when no
    answer became whole in it does it reach to the last one, as otherwise it would say nothing.
    """
    part = Window(trial.warm_up_s, max(trial.warm_up_s, trial.due_s))
    ends = [record.end_s for record in trial.records if record.complete]
    if not ends or any(part.start <= end <= part.end for end in ends):
        return part
    return Window(part.start, max(part.end, *ends))


def throughput(trial: Trial, part: Window, counts: Counts | None) -> Throughput:
    """What came through in ``part`` of ``trial``; ``counts`` are the tokenizer's, if any."""
    complete = [record for record in trial.records if record.complete]
    ended = [record for record in complete if part.start <= record.end_s <= part.end]
    prompts = [count for record in ended if (count := prompt_tokens(record)) is not None]
    idle_share, mean_in_flight = _busyness(trial.records, part)
    return Throughput(
        completed=part.rate(len(ended)),
        output_tokens=_output_rate(complete, part, counts),
        prompt_tokens=part.rate(sum(prompts)) if prompts else None,
        idle_share=idle_share,
        mean_in_flight=mean_in_flight,
    )


def _output_rate(complete: Sequence[Record], part: Window, counts: Counts | None) -> float | None:
    tokens = [completion_tokens(record, counts) for record in complete]
    if all(count is None for count in tokens):
        return None
    # Where one answer among others has no count, its chunks stand in: most servers send one each.
    return part.rate(
        sum(
            (record.chunks if count is None else count) * _share_inside(record, part)
            for record, count in zip(complete, tokens, strict=True)
        )
    )


def _share_inside(record: Record, part: Window) -> float:
    """Which share of the answer's tokens came within ``part``, if they came evenly."""
    first, last = record.first_token_s, record.last_token_s
    if first is None or last is None or last <= first:
        came = record.end_s if last is None else last
        return float(part.start <= came <= part.end)
    return max(0.0, min(last, part.end) - max(first, part.start)) / (last - first)


def _busyness(records: Sequence[Record], part: Window) -> tuple[float, float]:
    """Share of ``part`` with no request in flight, and requests in flight on average."""
    if part.seconds <= 0:
        return 0.0, 0.0
    starts = np.array([each.started_s if each.sent_s is None else each.sent_s for each in records])
    ends = np.array([each.end_s for each in records])
    starts, ends = starts.clip(part.start, part.end), ends.clip(part.start, part.end)
    order = np.argsort(starts)
    starts, ends = starts[order], ends[order]
    # When every request begun so far has ended: what lies between that and the next is idle.
    until = np.maximum.accumulate(np.concatenate([[part.start], ends]))
    idle = float(np.maximum(np.append(starts, part.end) - until, 0).sum())
    return idle / part.seconds, float((ends - starts).sum()) / part.seconds
