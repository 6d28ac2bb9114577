"""When a step of a search ends early."""

import numpy as np

from pilotage.prove.analysis.promise import promises
from pilotage.prove.guard import Guard, watched
from pilotage.prove.load import PlannedLoad, Schedule
from pilotage.prove.record import Record
from pilotage.prove.run import Moment, Stop

_LOAD = PlannedLoad(Schedule(np.arange(440) / 10, 44.0, "constant"), warm_up_s=4.0)


def _guard(slo: dict[str, float], *, stream: bool = True) -> Guard:
    return Guard(slo, _LOAD, 0.95, Stop(), stream=stream)


def _record(index: int, first: float, took: float, *, due: float = 10.0) -> Record:
    return Record(index, due, due, due, due + first, due + took, due + took, "complete", chunks=5)


def _moment(*records: Record, overdue: int = 0) -> Moment:
    return Moment(20.0, list(records), 200, len(records), overdue, overdue)


def test_enough_that_are_late_end_it() -> None:
    guard = _guard({"ttft_p99": 0.5})
    guard.see(_moment(*(_record(i, 1.0, 2.0) for i in range(8))))
    assert guard.reason is None
    guard.see(_moment(overdue=1))
    assert guard.reason == "over-saturated after 20 s: 9 requests late"


def test_two_promises_that_both_hold_do_not_add_up() -> None:
    """6 of 400 late for one and 6 others for the other: neither is shown to be missed."""
    guard = _guard({"ttft_p99": 0.5, "e2e_p99": 3.0})
    guard.see(_moment(*(_record(i, 1.0, 2.0) for i in range(6))))
    guard.see(_moment(*(_record(i, 0.1, 9.0) for i in range(6))))
    assert guard.reason is None


def test_half_may_be_over_a_median() -> None:
    guard = _guard({"ttft_p50": 0.5, "e2e_p99": 30.0})
    guard.see(_moment(*(_record(i, 1.0, 2.0) for i in range(150))))
    assert guard.reason is None


def test_the_warm_up_does_not_count() -> None:
    guard = _guard({"ttft_p99": 0.5})
    guard.see(_moment(*(_record(i, 1.0, 2.0, due=1.0) for i in range(50))))
    assert guard.reason is None


def test_what_is_watched_while_under_way() -> None:
    both = promises({"e2e_p99": 3.0, "ttft_p50": 0.2, "ttft_p99": 0.5})
    assert watched(both, stream=True) == both[2]
    assert watched(both, stream=False) == both[0]
    assert watched(promises({"tpot_p99": 0.1}), stream=True) is None
