"""One latency of many requests, and what it says of a percentile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from pilotage.prove.analysis.statistics import (
    Values,
    design_effect,
    percentile,
    quantile_interval,
    rank,
)
from pilotage.prove.record import Record
from pilotage.prove.result import Estimate, Metric


@dataclass(frozen=True, eq=False)
class Sample:
    """Values in the order in which their requests were due.

    Attributes:
        values: Seconds; infinity for a request that failed.
        ordered: The same, ascending.
    """

    values: Values
    ordered: Values

    @classmethod
    def of(cls, values: Iterable[float] | Values) -> Self:
        """The sample of ``values``, which come in the order of their requests."""
        array: Values = (
            values if isinstance(values, np.ndarray) else np.fromiter(values, dtype=np.float64)
        )
        ordered: Values = array.copy()
        ordered.sort()
        return cls(array, ordered)

    def __len__(self) -> int:
        """Requests in it, failed ones too."""
        return len(self.values)

    def above(self, target: float) -> int:
        """How many are over ``target``; failed ones are."""
        return len(self) - int(np.searchsorted(self.ordered, target, side="right"))

    def effect(self, quantile: float, target: float | None = None) -> float:
        """Design effect at ``quantile``, and at ``target`` if that is larger; at least 1."""
        if len(self) == 0:
            return 1.0
        thresholds = [float(self.ordered[rank(len(self), quantile) - 1])]
        if target is not None:
            thresholds.append(target)
        return max(design_effect(self.values, self.ordered, each) for each in thresholds)

    def estimate(self, quantile: float, confidence: float, effect: float) -> Estimate:
        """The ``quantile`` with its interval, for that design effect."""
        low, high = quantile_interval(self.ordered, quantile, confidence, effect)
        return Estimate(value=percentile(self.ordered, quantile), low=low, high=high)


def latency(record: Record, metric: Metric) -> float | None:
    """The record's own value of ``metric``; None if it has none."""
    if metric == "e2e":
        return record.e2e_s
    return record.ttft_s if metric == "ttft" else record.tpot_s


def in_due_order(records: Iterable[Record]) -> list[Record]:
    """``records`` by the time at which they were due."""
    return sorted(records, key=lambda record: record.scheduled_s)


def of_all_requests(records: Iterable[Record], metric: Metric) -> Sample:
    """``metric`` of every request: a request without a whole answer is infinitely slow.

    A whole answer that has no such value (not streamed, or empty) is left out.
    """

    def values() -> Iterable[float]:
        for record in records:
            if not record.complete:
                yield np.inf
            elif (value := latency(record, metric)) is not None:
                yield value

    return Sample.of(values())


def of_received(records: Iterable[Record], metric: Metric) -> Sample:
    """``metric`` of the requests that have it, whole answers or not."""
    values = (latency(record, metric) for record in records)
    return Sample.of(value for value in values if value is not None)


def of_gaps(records: Iterable[Record]) -> Sample:
    """The times between chunks, of all that was received.

    They stay 32-bit floats, four bytes a gap and as much again for the ordered ones.
    """
    pieces = [np.frombuffer(record.gaps, dtype="<f4") for record in records if record.gaps]
    return Sample.of(np.concatenate(pieces) if pieces else np.empty(0, dtype=np.float32))
