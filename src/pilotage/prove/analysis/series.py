"""The run over time, in intervals, warm-up included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage.prove.analysis import sample as samples
from pilotage.prove.analysis.promise import good_requests, promises
from pilotage.prove.analysis.statistics import percentile
from pilotage.prove.analysis.token_counts import Counts, completion_tokens
from pilotage.prove.record import Record
from pilotage.prove.result import Metric, Point
from pilotage.prove.trial import Trial

_MOST_POINTS: Final = 300
_STEPS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


def series(
    trial: Trial, *, slo: dict[str, float], tokenizer_counts: Counts | None = None
) -> tuple[Point, ...]:
    """``trial`` in at most 300 intervals of equal length, until the last answer.

    The length is a round number, and such that an interval holds a few requests where the run is
    long enough. An answer whose tokens nobody counted adds its chunks.

    Args:
        trial: The run.
        slo: What is promised, in seconds by names such as "ttft_p99"; may be empty.
        tokenizer_counts: Completion tokens by our own tokenizer, by the records' ``index``.
    """
    records = samples.in_due_order(trial.records)
    until = max([trial.due_s, *(record.end_s for record in records)])
    if not records or until <= 0:
        return ()
    step = _step(until, len(records))
    edges = np.arange(1, int(np.ceil(until / step)) + 1) * step
    count = len(edges)
    due = _interval(np.array([record.scheduled_s for record in records]), step, count)
    end = _interval(np.array([record.end_s for record in records]), step, count)
    whole = np.array([record.complete for record in records])
    failed = np.array([not each.complete and each.outcome != "cancelled" for each in records])
    tokens = np.array([_tokens(record, tokenizer_counts) for record in records])
    begun = np.sort([record.started_s for record in records])
    ended = np.sort([record.end_s for record in records])
    in_flight = np.searchsorted(begun, edges, "right") - np.searchsorted(ended, edges, "right")
    sent = np.bincount(due, minlength=count)
    completed = np.bincount(end[whole], minlength=count)
    broken = np.bincount(end[failed], minlength=count)
    output = np.bincount(end, weights=tokens * whole, minlength=count)
    settled = [record for record in records if record.outcome != "cancelled"]
    kept = good_requests(settled, promises(slo)) if settled else None
    # They are in the order in which they were due, so those of an interval are neighbours.
    settled_due = _interval(np.array([each.scheduled_s for each in settled]), step, count)
    splits = np.searchsorted(settled_due, np.arange(count + 1))
    points = []
    for place in range(count):
        of_interval = slice(splits[place], splits[place + 1])
        part = settled[of_interval]
        points.append(
            Point(
                at=place * step,
                seconds=step,
                sent=int(sent[place]),
                completed=int(completed[place]),
                failed=int(broken[place]),
                in_flight=int(in_flight[place]),
                output_tokens=int(output[place]),
                good=sum(kept[of_interval]) if kept is not None else None,
                ttft_p50=_percentile(part, "ttft", 0.5),
                ttft_p99=_percentile(part, "ttft", 0.99),
                e2e_p50=_percentile(part, "e2e", 0.5),
                e2e_p99=_percentile(part, "e2e", 0.99),
            )
        )
    return tuple(points)


def _step(seconds: float, requests: int) -> float:
    """The shortest round length that keeps the points few and, if it can, not nearly empty."""
    wanted = max(seconds / _MOST_POINTS, min(seconds / 30, 5 * seconds / requests))
    return next((step for step in _STEPS if step >= wanted), float(np.ceil(wanted)))


def _interval(times: NDArray[np.float64], step: float, count: int) -> NDArray[np.int64]:
    """The interval in which each of ``times`` lies; the run's very end is in the last one."""
    # 0.6 / 0.1 is a little less than 6: the sixth interval begins there all the same.
    return np.clip((times / step + 1e-9).astype(np.int64), 0, count - 1)


def _tokens(record: Record, counts: Counts | None) -> int:
    known = completion_tokens(record, counts)
    return record.chunks if known is None else known


def _percentile(records: Sequence[Record], metric: Metric, quantile: float) -> float | None:
    return percentile(samples.of_all_requests(records, metric).ordered, quantile)
