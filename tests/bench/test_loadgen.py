import numpy as np
import pytest
from bench.known_latency import Behaviour, Seen
from bench.load_peers import pilotage
from bench.load_peers.tool import Figures, Percentiles, Work, run_tool
from bench.loadgen_report import ArrivalRow, RateRow, TruthRow
from bench.loadgen_server import known_server, truth
from bench.loadgen_targets import rate_ratio, targets
from bench.loadgen_truth import arrival_row

STALL = "stall: 20 ms, 1 s of nothing every 10 s"


def truth_row(tool: str, p99: float, ratio: float = 1.0, mode: str = STALL) -> TruthRow:
    return TruthRow(
        tool=tool,
        mode=mode,
        measured=Percentiles(0.02, 0.02, p99),
        truth=Percentiles(0.02, 0.02, 0.92),
        ratio=Percentiles(1.0, 1.5, ratio),
        theory=Percentiles(0.02, 0.02, 0.92),
        from_schedule=None,
        requests=100,
        failed=0,
        repeats=1,
        server_late_p99_s=0.0,
    )


def row_of(work: Work, seen: np.ndarray, sent: np.ndarray | None = None) -> ArrivalRow:
    sent = np.empty(0) if sent is None else sent
    figures = Figures(Percentiles(1, 1, 1), due_s=sent, sent_s=sent)
    return arrival_row("any", work, figures, Seen(0.0, seen.tolist(), [], [], 0.0))


def test_gaps_of_the_process_asked_for_pass_and_others_do_not() -> None:
    dice = np.random.default_rng(5)
    poisson = np.cumsum(dice.exponential(0.01, 2000))
    bursts = np.cumsum(dice.gamma(0.5, 0.02, 2000))
    # What a generator does whose ten workers share a seed: every gap ten times.
    repeated = np.cumsum(np.repeat(dice.exponential(0.01, 200), 10))
    asked = Work("poisson", rate=100)
    row = row_of(asked, poisson, poisson)
    assert row.p_seen is not None and row.p_seen > 0.05
    assert row.p_seen == row.p_sent == row.p_due
    assert row.seen == pytest.approx(100, rel=0.1)
    for odd in (bursts, repeated, poisson / 2):
        found = row_of(asked, odd)
        assert found.p_seen is not None and found.p_seen < 0.01
        assert found.p_sent is None
    gamma = Work("gamma", rate=100, burstiness=0.5)
    assert (row_of(gamma, bursts).p_seen or 0) > 0.05


def test_constant_gaps_are_judged_by_the_largest_deviation() -> None:
    times = np.arange(0.0, 1.0, 0.01)
    late = times.copy()
    late[50] += 0.003
    row = row_of(Work("constant", rate=100), late, times)
    assert row.deviation_seen_s == pytest.approx(0.003)
    assert row.deviation_sent_s == pytest.approx(0.0, abs=1e-9)
    assert row.p_seen is None


def test_the_targets_say_what_was_found() -> None:
    rates = [RateRow(tool, rate, "", {}) for tool, rate in (("pilotage", 900), ("aiperf", 100))]
    rows = [truth_row("pilotage", 0.93, 1.01), truth_row("guidellm", 0.03, 0.03)]
    gaps = [ArrivalRow("pilotage", "poisson", 1, 1, 9, p_sent=0.4, p_seen=0.3)]
    assert rate_ratio(rates) == pytest.approx(9)
    assert [target.met for target in targets(rows, gaps, rates)] == [True] * 5
    honest = targets([*rows, truth_row("aiperf", 0.91)], gaps, rates)[-1]
    assert honest.met is False
    assert "aiperf" in honest.said
    wrong = targets([truth_row("pilotage", 0.5, 0.54)], [], [])
    assert [target.met for target in wrong] == [False, None, None, False, None]


def test_pilotage_is_measured_by_its_own_client() -> None:
    behaviour = Behaviour(kind="stall", latency_s=0.02, stall_s=0.3, every_s=0.6)
    with known_server(()) as known:
        known.behave(behaviour)
        figures = pilotage.measure(known.base, Work("poisson", rate=100, duration_s=1.2, seed=2))
        seen = known.seen()
    assert figures.failed == 0
    assert len(figures.due_s) == len(figures.sent_s) == len(seen.arrived_s)
    # Counted from the due time, nothing can be faster than the truth of that time.
    true = truth(behaviour, seen.began_s, figures.due_s)
    assert figures.latency.p99 >= true.p99 - 1e-3
    assert true.p99 > 0.2
    assert np.all(figures.send_delay_s >= 0)


def test_a_tool_that_fails_says_so() -> None:
    with pytest.raises(RuntimeError, match="exit code 3"):
        run_tool("failing", ["sh", "-c", "exit 3"], cpus=(), environment={}, timeout_s=5)
    with pytest.raises(RuntimeError, match="did not end"):
        run_tool("slow", ["sleep", "9"], cpus=(), environment={}, timeout_s=0.2)
