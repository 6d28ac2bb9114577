import pytest
from hypothesis import given
from hypothesis import strategies as st
from trials import FAILED, of_latencies, record, streamed, trial

from pilotage.prove.analysis.series import series


def test_an_interval_at_a_time() -> None:
    records = [
        record(0, at=0.1, took=0.2, completion_tokens=5),
        record(1, at=0.62, took=0.9, completion_tokens=7),
        record(2, at=1.2, took=FAILED),
        record(3, at=1.9, took=0.1, outcome="cancelled"),
    ]
    points = series(trial(records, due_s=2), slo={"e2e_p99": 0.5})
    assert len(points) == 2 / points[0].seconds
    assert sum(point.sent for point in points) == 4
    assert sum(point.completed for point in points) == 2
    assert sum(point.failed for point in points) == 1
    assert sum(point.output_tokens for point in points) == 12
    assert sum(point.good or 0 for point in points) == 1
    assert points[0].seconds == 0.1
    at = {round(point.at, 3): point for point in points}
    assert (at[0.1].sent, at[0.1].in_flight, at[0.1].e2e_p50) == (1, 1, pytest.approx(0.2))
    assert (at[0.5].sent, at[0.5].in_flight, at[0.5].good) == (0, 0, 0)
    assert (at[0.6].sent, at[0.6].in_flight, at[0.6].good) == (1, 1, 0)
    assert (at[1.2].in_flight, at[1.2].failed, at[1.2].e2e_p50) == (1, 1, None)
    assert (at[1.5].completed, at[1.5].output_tokens, at[1.5].in_flight) == (1, 7, 0)
    assert (at[1.9].sent, at[1.9].failed, at[1.9].e2e_p50) == (1, 0, None)


def test_first_tokens_and_chunks() -> None:
    streams = [streamed(i, first=0.2, tpot=0.01, tokens=5, completion_tokens=None) for i in (0, 1)]
    points = series(trial(streams), slo={})
    assert [point.ttft_p50 for point in points] == [pytest.approx(0.2)] * 2 + [None] * 2
    assert {point.good for point in points} == {None}
    assert sum(point.output_tokens for point in points) == 10
    counted = series(trial(streams), slo={}, tokenizer_counts={0: 3, 1: 3})
    assert sum(point.output_tokens for point in counted) == 6


def test_it_lasts_until_the_last_answer() -> None:
    points = series(trial([record(0, took=30)], due_s=1), slo={})
    assert points[-1].completed == 1
    assert points[-1].at + points[-1].seconds >= 30


def test_nothing() -> None:
    assert series(trial([], due_s=5), slo={"e2e_p99": 1.0}) == ()


@given(
    st.lists(st.floats(0.001, 500) | st.just(FAILED), min_size=1, max_size=200),
    st.floats(0.1, 100_000),
)
def test_points_are_few_and_lose_no_request(latencies: list[float], due_s: float) -> None:
    points = series(of_latencies(latencies, due_s=due_s), slo={"e2e_p99": 1.0})
    failed = sum(latency == FAILED for latency in latencies)
    assert 1 <= len(points) <= 301
    assert sum(point.sent for point in points) == len(latencies)
    assert sum(point.failed for point in points) == failed
    assert sum(point.completed for point in points) == len(latencies) - failed
    assert points[-1].in_flight == 0
    assert all(point.in_flight >= 0 for point in points)
