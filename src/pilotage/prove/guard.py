"""When a step of a capacity search may end early: the SLO is missed whatever still comes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pilotage.prove.analysis.promise import Promise, promises
from pilotage.prove.analysis.statistics import share_interval
from pilotage.prove.load import PlannedLoad, Schedule
from pilotage.prove.run import Moment, Stop


def watched(promised: Sequence[Promise], *, stream: bool) -> Promise | None:
    """The promise of which requests under way are told to be late; None if there is none.

    It is one alone, because a request that breaks either of two promises shows neither missed:
    that of the first token, which shows first, else that of the whole answer.
    """
    for metric in ("ttft", "e2e") if stream else ("e2e",):
        found = [promise for promise in promised if promise.metric == metric]
        if found:
            return max(found, key=lambda promise: promise.quantile)
    return None


class Guard:
    """Ends a step whose SLO is missed whatever comes: a drowning server only drowns deeper.

    Args:
        slo: What is promised.
        planned: The step's load.
        confidence: Of the finding.
        stream: Whether answers are streamed.
        stop: The step's.

    Attributes:
        reason: Why it ended the step; None as long as it has not.
    """

    def __init__(
        self,
        slo: dict[str, float],
        planned: PlannedLoad,
        confidence: float,
        stop: Stop,
        *,
        stream: bool,
    ) -> None:
        assert isinstance(planned.load, Schedule)
        counted = int((planned.load.times_s >= planned.warm_up_s).sum())
        self._promises = promises(slo)
        self._watched = watched(self._promises, stream=stream)
        self._enough = [_enough(each, counted, confidence) for each in self._promises]
        self._late = [0] * len(self._promises)
        self._warm_up_s = planned.warm_up_s
        self._stop = stop
        self.reason: str | None = None

    def see(self, moment: Moment) -> None:
        """Count what is late by now."""
        for record in moment.new:
            if record.scheduled_s >= self._warm_up_s and record.outcome != "cancelled":
                for place, promise in enumerate(self._promises):
                    self._late[place] += not promise.kept_by(record)
        if self.reason is not None:
            return
        for promise, late, enough in zip(self._promises, self._late, self._enough, strict=True):
            by_now = late + (moment.overdue if promise is self._watched else 0)
            if by_now >= enough:
                self.reason = f"over-saturated after {moment.at:.0f} s: {by_now:,} requests late"
                self._stop.now(self.reason)
                return


def _enough(promise: Promise, counted: int, confidence: float) -> float:
    """The fewest late ones of ``counted`` that show a miss even if all others are in time."""
    allowed = 1 - promise.quantile
    return next(
        (
            late
            for late in range(1, counted + 1)
            if share_interval(late, counted, confidence)[0] > allowed
        ),
        math.inf,
    )
