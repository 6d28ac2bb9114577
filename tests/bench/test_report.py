import pytest
from bench.load import LoadResult, Record
from bench.report import Row, added_ttft_ms, ratio, row_of, targets


def record(ttft_s: float, end_s: float, tokens: int = 128, outcome: str = "complete") -> Record:
    return Record(
        index=0,
        scheduled_s=0.0,
        sent_s=0.0,
        first_token_s=ttft_s,
        end_s=end_s,
        chunk_times_s=(ttft_s,),
        status=200,
        outcome=outcome,
        completion_tokens=tokens,
        counted_by="usage",
    )


def row(system: str, streams: int, *runs: float, ttft: tuple[float, ...] = ()) -> Row:
    return Row(system, streams, runs[0], 1.0, 1.0, runs=runs, ttft_p50_ms_runs=ttft)


def test_a_row_counts_whole_answers_only():
    results = [
        LoadResult((record(0.1, 2.0), record(0.3, 4.0)), 4.0, 0.1),
        LoadResult((record(0.2, 2.0), record(9.0, 2.0, outcome="broken")), 2.0, 0.1),
    ]
    made = row_of("x", 2, results)
    assert made.runs == (64.0, 64.0)
    assert made.tokens_per_second == 64.0
    assert made.ttft_p50_ms == pytest.approx(200)
    assert (made.requests, made.failed) == (4, 1)
    assert made.tokens_per_answer == (128, 128)


def test_a_ratio_compares_runs_made_side_by_side():
    # A machine that halves its speed in the second run leaves the ratio as it was.
    assert ratio(row("a", 1, 100, 50, 100), row("b", 1, 50, 25, 50)) == 2.0
    # A system that was run once is compared with the median.
    assert ratio(row("a", 1, 90, 100, 110), row("b", 1, 50)) == 2.0
    assert ratio(row("a", 1, 90), None) is None
    assert ratio(row("a", 1, 90), row("b", 1, 0)) is None


def test_added_ttft_is_the_median_of_the_differences():
    rows = {
        ("pilotage", 1): row("pilotage", 1, 1, 1, 1, ttft=(54.0, 84.0, 53.0)),
        ("engine", 1): row("engine", 1, 1, 1, 1, ttft=(50.0, 80.0, 51.0)),
    }
    assert added_ttft_ms(rows) == pytest.approx(4.0)


def test_targets_say_met_missed_or_not_measured():
    rows = {
        ("pilotage", 32): row("pilotage", 32, 96),
        ("engine", 32): row("engine", 32, 100),
        ("vllm_cpu", 32): row("vllm_cpu", 32, 80),
    }
    found = {target.claim: target for target in targets(rows)}
    by_name = [t.met for claim, t in found.items() if "32 streams" in claim]
    assert by_name == [True, False, None, None]
    assert sum(t.met is None for t in found.values()) == 4
