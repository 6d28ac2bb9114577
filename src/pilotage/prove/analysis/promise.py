"""One promise of the SLO, and whether a request keeps it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pilotage.errors import UsageError
from pilotage.prove.analysis.sample import Sample, in_due_order, latency
from pilotage.prove.record import Record
from pilotage.prove.result import Metric
from pilotage.prove.trial import Trial
from pilotage.units import printable

_METRICS: Final[dict[str, Metric]] = {"ttft": "ttft", "tpot": "tpot", "e2e": "e2e"}
_NAME: Final = re.compile(r"(ttft|tpot|e2e)_p([0-9]{1,2}(?:\.[0-9]{1,4})?)")


@dataclass(frozen=True)
class Promise:
    """A latency that a share of the requests keeps.

    Attributes:
        metric: Which latency.
        quantile: 0.99 for a p99.
        target: Seconds.
    """

    metric: Metric
    quantile: float
    target: float

    def can_judge(self, records: Sequence[Record]) -> bool:
        """Whether ``records`` have what is promised.

        A promise about the first token says nothing of answers that are not streamed, nor one
        about the time a token of answers that have but one.
        """
        complete = [record for record in records if record.complete]
        return not complete or any(latency(each, self.metric) is not None for each in complete)

    def kept_by(self, record: Record) -> bool:
        """Whether ``record`` is whole and in time. What a whole answer has not is not late."""
        if not record.complete:
            return False
        value = latency(record, self.metric)
        return value is None or value <= self.target

    def sample(self, trial: Trial) -> Sample:
        """The latencies that decide: of all measured requests, failed ones infinite.

        A request that a stop cut off is left out, as in all figures, unless it had waited beyond
        the target by then: that one is known to be late, and a server that hangs is not to pass
        because somebody lost patience.
        """
        records = (each for each in trial.records if each.scheduled_s >= trial.warm_up_s)
        values = (self._decisive(record) for record in in_due_order(records))
        return Sample.of(value for value in values if value is not None)

    def _decisive(self, record: Record) -> float | None:
        if record.complete:
            return latency(record, self.metric)
        if record.outcome != "cancelled":
            return np.inf
        known_s = record.end_s
        if self.metric == "ttft" and record.first_token_s is not None:
            known_s = record.first_token_s
        late = self.metric != "tpot" and known_s - record.scheduled_s > self.target
        return np.inf if late else None


def promises(slo: dict[str, float]) -> tuple[Promise, ...]:
    """The promises of ``slo``, seconds by names such as "ttft_p99".

    Raises:
        UsageError: A name or a target makes no sense.
    """
    found = []
    for name, target in slo.items():
        match = _NAME.fullmatch(name)
        if match is None or float(match[2]) == 0:
            raise UsageError(
                f'"{printable(name)}" is no objective',
                hint="Objectives are ttft_p99, tpot_p99 and e2e_p99, or another percentile",
            )
        if not (np.isfinite(target) and target > 0):
            raise UsageError(f"{name} should be a time above 0, got {target:g} s")
        # By way of text: 99 / 100 is 0.99, but 99.9 / 100 is not 0.999.
        found.append(Promise(_METRICS[match[1]], float(f"{match[2]}e-2"), target))
    return tuple(found)


def good_requests(
    records: Sequence[Record], promised: Sequence[Promise]
) -> tuple[bool, ...] | None:
    """Which of ``records`` keep every promise; None if that cannot be said."""
    if not promised or not all(promise.can_judge(records) for promise in promised):
        return None
    return tuple(all(promise.kept_by(record) for promise in promised) for record in records)
