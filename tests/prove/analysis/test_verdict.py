import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trials import FAILED, of_latencies, record, sender, streamed, trial

from pilotage.prove.analysis.measures import measures
from pilotage.prove.analysis.objective import more_requests
from pilotage.prove.analysis.statistics import share_interval
from pilotage.prove.analysis.validity import validity
from pilotage.prove.analysis.verdict import verdict
from pilotage.prove.result import Objective, Verdict
from pilotage.prove.trial import Trial

ORDER = ["met", "not_enough_evidence", "missed"]


def judged(run: Trial, **slo: float) -> Verdict:
    return verdict(run, slo=slo, validity=validity(run))


def the_objective(run: Trial, **slo: float) -> Objective:
    (objective,) = judged(run, **slo).objectives
    return objective


def spread(count: int, late: int, *, seed: int = 5) -> list[float]:
    """``count`` latencies around 0.1 s, ``late`` of them 0.5 s, in no order."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.09, 0.11, count)
    values[rng.choice(count, late, replace=False)] = 0.5
    return [float(value) for value in values]


def test_none_late_needs_368_requests_for_a_p99_with_95_percent() -> None:
    # 0.99^n <= 0.025 from n = 367.04 on; one-sided it would be 299.
    assert the_objective(of_latencies(spread(367, 0)), e2e_p99=0.4).finding == (
        "not_enough_evidence"
    )
    met = the_objective(of_latencies(spread(368, 0)), e2e_p99=0.4)
    assert (met.finding, met.more_requests, met.late, met.total) == ("met", None, 0, 368)
    open_one = the_objective(of_latencies(spread(100, 0)), e2e_p99=0.4)
    assert open_one.more_requests == 268


def test_a_clear_miss() -> None:
    found = judged(of_latencies(spread(500, 50)), e2e_p99=0.4)
    (objective,) = found.objectives
    assert (found.finding, objective.finding, objective.late) == ("missed", "missed", 50)
    assert found.sentence == (
        "e2e p99 ≤ 400ms: missed (p99 500ms, 95 % interval 500–500ms, 50 of 500 late)"  # noqa: RUF001
    )


def test_met_says_what_was_measured() -> None:
    found = judged(of_latencies(spread(2000, 3)), e2e_p99=0.4)
    assert found.finding == "met"
    assert found.sentence.startswith("e2e p99 ≤ 400ms: met (p99 110ms, 95 % interval 11")
    assert found.sentence.endswith("3 of 2,000 late)")


def test_not_enough_evidence_says_how_much_more() -> None:
    found = judged(of_latencies(spread(1000, 6)), e2e_p99=0.4)
    (objective,) = found.objectives
    assert objective.finding == "not_enough_evidence"
    assert objective.more_requests is not None
    assert "not enough evidence, run about " in found.sentence
    for count, enough in ((objective.more_requests, True), (objective.more_requests - 1, False)):
        _, high = share_interval(0.006 * (1000 + count), 1000 + count, 0.95)
        assert (high <= 0.01) == enough


def test_no_number_of_requests_decides_a_share_at_the_limit() -> None:
    found = judged(of_latencies(spread(1000, 10)), e2e_p99=0.4)
    assert found.objectives[0].more_requests is None
    assert "too near the limit for any affordable number" in found.sentence


@given(st.integers(0, 200), st.integers(1, 5000), st.floats(1, 30))
def test_more_requests_decide_and_dependence_asks_for_more(
    late: int, others: int, effect: float
) -> None:
    total = late + others
    more = more_requests(late, total, 0.01, 0.95, effect)
    if more is None:
        low, high = share_interval(late * 1e5, total * 1e5, 0.95, effect)
        assert low <= 0.01 < high or abs(late / total - 0.01) < 1e-3
        return
    count = total + more
    low, high = share_interval(late / total * count, count, 0.95, effect)
    assert high <= 0.01 or low > 0.01
    less = more_requests(late, total, 0.01, 0.95, effect / 1.5)
    assert less is not None
    assert less <= more


def test_requests_that_queue_together_are_worth_fewer() -> None:
    # 4,000 requests, 25 of them late: in a row, or here and there.
    bursts = np.full(4000, 0.1)
    bursts[500:525] = 0.5
    together = judged(of_latencies(bursts), e2e_p99=0.4)
    alone = judged(of_latencies(spread(4000, 25)), e2e_p99=0.4)
    assert alone.finding == "met"
    assert together.finding == "not_enough_evidence"
    assert "queue together and are worth about" in together.sentence
    assert (together.objectives[0].more_requests or 0) > 1000


def test_failed_requests_are_late() -> None:
    found = judged(of_latencies([0.1, 0.1, 0.1, FAILED] * 50), e2e_p99=0.4)
    (objective,) = found.objectives
    assert (objective.finding, objective.late, objective.total) == ("missed", 50, 200)
    assert objective.measured.value is None
    assert "50 of 200 late, 50 of them failed" in found.sentence
    assert "p99 without end, for too many failed" in found.sentence


def test_a_promise_that_cannot_be_judged_says_so() -> None:
    found = judged(of_latencies([0.1] * 700 + [FAILED]), ttft_p99=0.2, e2e_p99=0.4)
    assert found.finding == "not_enough_evidence"
    assert [objective.finding for objective in found.objectives] == ["not_enough_evidence", "met"]
    assert (found.objectives[0].total, found.objectives[0].more_requests) == (0, None)
    assert "ttft p99 ≤ 200ms: not enough evidence, no answer was streamed" in found.sentence


def test_streams_are_judged_by_first_token_and_pace() -> None:
    run = trial([streamed(i, first=0.15, tpot=0.08, tokens=4) for i in range(400)])
    found = judged(run, ttft_p99=0.2, tpot_p99=0.06, e2e_p99=2.0)
    assert found.finding == "missed"
    assert [objective.finding for objective in found.objectives] == ["met", "missed", "met"]
    assert found.sentence.count("; ") == 2


def test_what_hung_when_the_run_was_stopped_is_late_but_what_had_just_begun_is_not() -> None:
    complete = [record(i) for i in range(400)]
    hung = [record(400 + i, took=5, outcome="cancelled") for i in range(100)]
    fresh = [record(500 + i, took=0.2, outcome="cancelled") for i in range(20)]
    found = the_objective(trial([*complete, *hung, *fresh]), e2e_p99=0.4)
    assert (found.finding, found.late, found.total) == ("missed", 100, 500)
    came = streamed(0, at=0, first=0.1, tpot=1, tokens=6, outcome="cancelled")
    assert the_objective(trial([*complete, came]), ttft_p99=0.2).total == 0


def test_an_invalid_run_and_one_without_an_slo() -> None:
    late_client = of_latencies(spread(500, 0), senders=(sender(lag=0.2),))
    found = judged(late_client, e2e_p99=0.4)
    assert found.finding == "invalid"
    assert "--senders" in found.sentence
    assert judged(of_latencies(spread(10, 0))).finding == "no_slo"
    assert judged(trial([], due_s=1), e2e_p99=1.0).finding == "invalid"


def test_the_interval_is_the_one_of_the_measures() -> None:
    rng = np.random.default_rng(2)
    run = of_latencies(np.repeat(rng.exponential(0.1, 100), 30))
    found = measures(run, slo={"e2e_p99": 0.45}).e2e
    assert found is not None
    assert found.p99 == the_objective(run, e2e_p99=0.45).measured
    assert found.effective < 300


@given(
    st.lists(st.floats(0.01, 1) | st.just(FAILED), min_size=1, max_size=500),
    st.floats(0.02, 0.9),
)
def test_the_finding_and_the_interval_agree(latencies: list[float], target: float) -> None:
    found = the_objective(of_latencies(latencies), e2e_p99=target)
    high, low = found.measured.high, found.measured.low
    # Times come back from subtractions: compare away from the last digit.
    assert (found.finding == "met") == (high is not None and high <= target)
    if low is not None:
        assert (found.finding == "missed") == (low > target)


@pytest.mark.parametrize("late", [0, 1, 3, 8, 20, 60])
def test_a_failure_more_never_helps(late: int) -> None:
    latencies = spread(600, late)
    before = the_objective(of_latencies(latencies), e2e_p99=0.4)
    latencies[latencies.index(min(latencies))] = FAILED
    after = the_objective(of_latencies(latencies), e2e_p99=0.4)
    assert after.late == before.late + 1
    assert ORDER.index(after.finding) >= ORDER.index(before.finding)
