import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trials import FAILED, of_latencies, record, streamed, trial

from pilotage.errors import UsageError
from pilotage.prove.analysis.measures import failures, measures, warm_up
from pilotage.prove.record import Record
from pilotage.prove.result import Measures

LATENCIES = st.lists(st.floats(0.001, 30) | st.just(FAILED), min_size=1, max_size=60)


def test_latencies_of_a_hundred_requests() -> None:
    found = measures(of_latencies(np.arange(1, 101) / 100), slo={})
    assert found.e2e is not None
    assert (found.e2e.count, found.e2e.failed, found.e2e.mean) == (100, 0, pytest.approx(0.505))
    values = [getattr(found.e2e, name).value for name in ("p50", "p90", "p95", "p99")]
    assert values == pytest.approx([0.5, 0.9, 0.95, 0.99])
    assert (found.e2e.min, found.e2e.max) == pytest.approx((0.01, 1.0))
    assert found.e2e.curve[0] == pytest.approx((0.01, 0.01))
    assert found.e2e.curve[-1] == pytest.approx((1.0, 1.0))
    assert (found.ttft, found.tpot, found.itl, found.queue) == (None,) * 4


def test_failed_requests_are_infinitely_slow() -> None:
    found = measures(of_latencies([0.1] * 95 + [FAILED] * 5), slo={}).e2e
    assert found is not None
    assert (found.count, found.failed, found.mean, found.max) == (95, 5, *[pytest.approx(0.1)] * 2)
    assert found.p95.value == pytest.approx(0.1)
    assert (found.p99.value, found.p99.high) == (None, None)
    assert found.curve[-1] == pytest.approx((0.95, 0.1))


def test_streams() -> None:
    streams = [streamed(index, first=0.2, tpot=0.05, tokens=11) for index in range(20)]
    found = measures(trial(streams), slo={})
    assert found.ttft is not None
    assert found.tpot is not None
    assert found.itl is not None
    assert found.ttft.p50.value == pytest.approx(0.2)
    assert (found.tpot.count, found.tpot.p99.value) == (20, pytest.approx(0.05))
    assert (found.itl.count, found.itl.p99.value) == (200, pytest.approx(0.05))
    assert found.tokens.completion_server == found.tokens.completion_chunks == 220


def test_what_a_broken_stream_brought_counts_for_its_pace_only() -> None:
    broken = streamed(0, first=0.1, tpot=0.3, tokens=3, outcome="broken", error="cut")
    found = measures(trial([broken, streamed(1, first=0.1, tpot=0.1, tokens=3)]), slo={})
    assert found.ttft is not None
    assert found.tpot is not None
    assert (found.ttft.count, found.ttft.failed) == (1, 1)
    assert (found.tpot.count, found.tpot.failed, found.tpot.max) == (2, 0, pytest.approx(0.3))


def test_goodput_is_of_whole_answers_that_keep_every_promise() -> None:
    records = [
        streamed(0, first=0.1, tpot=0.01, tokens=5),
        streamed(1, first=0.5, tpot=0.01, tokens=5),  # its first token is late
        streamed(2, first=0.1, tpot=0.5, tokens=5),  # its end is
        record(3, took=FAILED),
    ]
    found = measures(trial(records, due_s=2), slo={"ttft_p99": 0.2, "e2e_p99": 1.0})
    assert (found.good_share, found.goodput) == (0.25, 0.5)
    assert measures(trial(records, due_s=2), slo={}).goodput is None


def test_goodput_is_unknown_where_a_promise_cannot_be_judged() -> None:
    found = measures(of_latencies([0.1] * 5), slo={"ttft_p99": 0.2, "e2e_p99": 1.0})
    assert (found.good_share, found.goodput) == (None, None)


def test_warm_up_and_what_a_stop_cut_off_are_in_no_figure() -> None:
    slow = [record(index, took=9) for index in range(10)]
    fast = [record(index, took=0.1) for index in range(10, 20)]
    cut = record(20, took=0.05, outcome="cancelled", status=None)
    run = trial([*slow, *fast, cut], due_s=2.1, warm_up_s=1.0)
    found = measures(run, slo={})
    assert found.e2e is not None
    assert (found.requests, found.e2e.max) == (10, pytest.approx(0.1))
    assert found.outcomes == {"complete": 10}
    before = warm_up(run)
    assert before is not None
    assert (before.seconds, before.requests, before.complete) == (1.0, 10, 10)
    assert (before.e2e_p50, before.ttft_p50) == (pytest.approx(9), None)
    assert warm_up(of_latencies([0.1])) is None


def test_a_server_that_lags_behind_does_not_look_as_fast_as_the_load() -> None:
    # 20 requests a second for 10 s; the server answers 10 a second, and so for 20 s.
    lagging = [
        record(i, at=i / 20, took=(i + 1) / 10 - i / 20, completion_tokens=30, prompt_tokens=50)
        for i in range(200)
    ]
    found = measures(trial(lagging, due_s=10), slo={})
    assert found.offered_rate == 20
    assert found.completed_rate == pytest.approx(10, rel=0.02)
    assert found.output_tokens_rate == pytest.approx(300, rel=0.02)
    assert found.prompt_tokens_rate == pytest.approx(500, rel=0.02)


def test_tokens_of_long_streams_count_as_they_came() -> None:
    # One stream at all times, 10 s long, of 100 tokens a second.
    streams = [
        streamed(i, at=10.0 * i, first=0.0, tpot=0.01, tokens=1000, prompt_tokens=7)
        for i in range(4)
    ]
    found = measures(trial(streams, due_s=35, warm_up_s=5), slo={})
    assert found.output_tokens_rate == pytest.approx(100, rel=0.01)
    assert found.mean_in_flight == pytest.approx(1, rel=0.01)


def test_busyness() -> None:
    # In flight: 0-1, 0.5-2 and 3-4 of 5 s.
    records = [record(0, at=0, took=1), record(1, at=0.5, took=1.5), record(2, at=3, took=1)]
    found = measures(trial(records, due_s=5), slo={})
    assert found.idle_share == pytest.approx(0.4)
    assert found.mean_in_flight == pytest.approx(3.5 / 5)


def test_a_closed_loop_that_ends_with_its_last_answer() -> None:
    found = measures(trial([record(0, at=0, took=2)], due_s=0, open_loop=False, planned=1), slo={})
    assert (found.offered_rate, found.completed_rate) == (0.5, 0.5)


def test_failures_by_kind() -> None:
    records = [record(0)]
    records += [record(i, outcome="rejected", status=429, error="full") for i in range(1, 4)]
    records += [record(4, outcome="timeout", status=None, error="no answer in 5 s")]
    records += [
        record(5 + i, outcome="refused", status=400, error="bad" + "x" * i) for i in range(60)
    ]
    found = measures(trial(records), slo={})
    assert found.outcomes == {"refused": 60, "rejected": 3, "complete": 1, "timeout": 1}
    assert len(found.failures) == 50
    worst = found.failures[0]
    assert (worst.outcome, worst.status, worst.message, worst.count) == ("rejected", 429, "full", 3)
    assert (worst.first_index, worst.first_s) == (1, 0.1)


def test_tokens_by_server_and_tokenizer() -> None:
    records = [
        streamed(0, first=0.1, tpot=0.1, tokens=8, prompt_tokens=20, asked_tokens=8),
        streamed(1, first=0.1, tpot=0.1, tokens=8, completion_tokens=None, asked_tokens=8),
        streamed(2, first=0.1, tpot=0.1, tokens=5, expected_prompt_tokens=19, asked_tokens=8),
        record(3, took=FAILED, completion_tokens=99),
    ]
    tokens = measures(
        trial(records), slo={}, tokenizer_counts={0: 7, 1: 8, 2: 5}, tokenizer="smol"
    ).tokens
    assert (tokens.prompt_server, tokens.prompt_tokenizer) == (20, 19)
    assert (tokens.completion_server, tokens.completion_tokenizer) == (13, 20)
    assert (tokens.completion_chunks, tokens.without_usage, tokens.short) == (21, 1, 1)
    assert tokens.tokenizer == "smol"


def test_without_usage_there_are_chunks_but_no_token_rate() -> None:
    silent = [streamed(0, first=0.1, tpot=0.1, tokens=5, completion_tokens=None)]
    found = measures(trial(silent, due_s=1), slo={})
    assert (found.output_tokens_rate, found.prompt_tokens_rate) == (None, None)
    assert found.tokens.completion_server is None
    assert found.tokens.completion_chunks == 5
    counted = measures(trial(silent, due_s=1), slo={}, tokenizer_counts={0: 5})
    assert counted.output_tokens_rate == pytest.approx(5)


def test_nothing_at_all() -> None:
    found = measures(trial([], due_s=10), slo={"e2e_p99": 1.0})
    assert (found.requests, found.offered_rate, found.completed_rate) == (0, 0, 0)
    assert (found.e2e, found.goodput, found.good_share) == (None, None, None)
    assert (found.idle_share, found.mean_in_flight) == (1, 0)


def test_one_request() -> None:
    found = measures(of_latencies([0.25], due_s=1), slo={"e2e_p99": 1.0})
    assert found.e2e is not None
    assert found.e2e.p99.value == pytest.approx(0.25)
    # That the p99 is no less than one value is safe to say (it is so 99 times of 100), no more.
    assert (found.e2e.p99.low, found.e2e.p99.high) == (pytest.approx(0.25), None)
    assert (found.e2e.p50.low, found.e2e.p50.high) == (None, None)
    assert (found.e2e.effective, found.goodput) == (1, 1)


def test_all_failed() -> None:
    found = measures(of_latencies([FAILED] * 30), slo={"e2e_p99": 1.0})
    assert (found.requests, found.completed_rate) == (30, 0)
    assert (found.e2e, found.output_tokens_rate) == (None, None)
    assert (found.goodput, found.good_share) == (0, 0)


def test_the_servers_queue_time() -> None:
    queued = [record(i, queue_s=i / 100) for i in range(10)]
    found = measures(trial([*queued, record(10)]), slo={}).queue
    assert found is not None
    assert (found.count, found.p50.value) == (10, 0.04)


def test_a_million_gaps_make_a_short_curve() -> None:
    rng = np.random.default_rng(3)
    gaps = [rng.exponential(0.02, 10_000).astype("<f4") for _ in range(100)]
    records = [record(i, gaps=each.tobytes(), chunks=10_001) for i, each in enumerate(gaps)]
    found = measures(trial(records), slo={}).itl
    assert found is not None
    assert found.count == 1_000_000
    assert found.p99.value == pytest.approx(-0.02 * np.log(0.01), rel=0.02)
    assert 200 <= len(found.curve) <= 400
    assert sum(share > 0.999 for share, _ in found.curve) >= 50
    assert list(found.curve) == sorted(found.curve)


@pytest.mark.parametrize("slo", [{"ttft": 1.0}, {"itl_p99": 1.0}, {"e2e_p0": 1}, {"e2e_p99": 0.0}])
def test_objectives_that_make_no_sense(slo: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="e2e_p"):
        measures(of_latencies([0.1]), slo=slo)


@given(LATENCIES, st.data())
def test_a_failure_more_makes_no_figure_better(latencies: list[float], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(latencies) - 1))
    slo = {"e2e_p99": 1.0}
    before = measures(of_latencies(latencies), slo=slo)
    after = measures(of_latencies([*latencies[:place], FAILED, *latencies[place + 1 :]]), slo=slo)
    assert before.good_share is not None
    assert after.good_share is not None
    assert after.good_share <= before.good_share
    for name in ("p50", "p90", "p99"):
        worst = np.inf if after.e2e is None else getattr(after.e2e, name).value or np.inf
        best = np.inf if before.e2e is None else getattr(before.e2e, name).value or np.inf
        assert worst >= best


@given(LATENCIES)
def test_measures_survive_json(latencies: list[float]) -> None:
    found = measures(of_latencies(latencies), slo={"e2e_p99": 1.0})
    assert msgspec.json.decode(msgspec.json.encode(found), type=Measures) == found
    assert 0 <= found.idle_share <= 1
    if found.e2e is not None:
        shares, values = zip(*found.e2e.curve, strict=True)
        assert list(values) == sorted(values)
        assert 0 < shares[0] <= shares[-1] <= 1


def test_failures_that_differ_in_numbers_only_are_one_kind() -> None:
    said = [f"429: the first token would come after {n}.5 s, request req-{n:x}a7" for n in range(9)]
    records = [
        Record(n, n, n, n, None, None, n + 0.1, "rejected", 429, error)
        for n, error in enumerate([*said, "429: no such luck"])
    ]
    first, second = failures(records)
    assert (first.count, first.message, first.first_index) == (9, said[0], 0)
    assert second.message == "429: no such luck"
