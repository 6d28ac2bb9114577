import pytest
from bench.load import LoadResult, Record
from bench.simulate import Agreement, Report, Speed, peer_speed, single_server, slots
from bench.simulate_server import MeasuredSteps, ServerRun, decode_step_s

from pilotage.plan.step_model import Batch


def record(times: tuple[float, ...], tokens: int) -> Record:
    return Record(0, 0.0, 0.0, times[0], times[-1], times, 200, "complete", tokens, "usage")


def test_a_decode_step_is_told_from_whole_answers():
    together = record((1.0, 1.4, 1.4, 1.8), 5)
    single = record((2.0,), 1)
    assert decode_step_s(LoadResult((together, single), 2.0, 0.1)) == pytest.approx(0.2)


def test_measured_steps_lie_on_a_line_between_what_was_measured():
    steps = MeasuredSteps((1, 4), (0.02, 0.05), token_s=0.001, alone_s=0.01)
    assert steps.step_s(Batch(decode_seqs=2)) == pytest.approx(0.03)
    assert steps.step_s(Batch(decode_seqs=9)) == pytest.approx(0.05)
    assert steps.step_s(Batch(prefill_tokens=100)) == pytest.approx(0.11)
    assert steps.step_s(Batch(prefill_tokens=100, decode_seqs=4)) == pytest.approx(0.15)


@pytest.mark.parametrize("cv", [0.0, 1.0])
def test_one_server_agrees_with_its_closed_form(cv):
    found = single_server(20_000, 60.0, cv)
    assert [each.quantity for each in found] == (["mean", "p99"] if cv else ["mean"])
    assert all(abs(each.relative_error) < 0.2 for each in found)


def test_slots_agree_with_their_closed_form():
    mean, p99 = slots(20_000, 4, 0.7)
    assert abs(mean.relative_error) < 0.2
    assert abs(p99.relative_error) < 0.25


def test_a_report_says_which_promise_was_broken():
    slow = Speed("moderation, 1 h, round-robin", 10, 11.0, 12.0, 1.0)
    fine = Speed("chat, round-robin", 10, 30.0, 30.0, 0.3)
    off = Agreement("M/M/4", "mean", 1.0, 1.2)
    near = Agreement("M/M/4", "p99", 1.0, 1.08)
    broken = Report("here", 0.1, [slow, fine], [], {}, [off, near]).failures()
    assert len(broken) == 2
    assert "11.0 s" in broken[0]
    assert "+20.0%" in broken[1]


def test_a_peer_without_an_environment_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.simulate.ROOT", tmp_path)
    with pytest.raises(RuntimeError, match="make bench-simulate-env"):
        peer_speed("round-robin", 1.0)


def test_a_server_run_shows_errors_and_no_division_by_nothing():
    run = ServerRun(10, 2, 3, 3.3, 0.0, 0.1, 0.5, 0.4, 1, 1.2, {1: 0.02}, 0.001)
    errors = list(run.table().columns[3].cells)
    assert errors == ["+10.0%", "-", "-20.0%", "+20.0%"]
