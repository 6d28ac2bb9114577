"""A hung engine is told from a busy one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pilotage.serve.external.engine_metrics import EngineCounts
from pilotage.serve.external.progress import BUSY_PATIENCE, PATIENCE, EngineProgress

TIMEOUT = 10.0


def counts(running: int = 1, tokens: int = 5) -> EngineCounts:
    return EngineCounts(running, 0, tokens, 0, 0.0)


def findings(seconds: int, *, cpu: float, said: EngineCounts | None) -> list[str]:
    progress = EngineProgress(TIMEOUT, 0.0)
    return [progress.judge(float(now), said, cpu * now) for now in range(seconds)]


def test_an_engine_that_stands_still_is_probed_and_then_hung() -> None:
    found = findings(60, cpu=0.0, said=counts())
    assert found.index("probe") == TIMEOUT
    assert found.index("hung") == PATIENCE * TIMEOUT


def test_one_whose_metrics_do_not_answer_is_hung_too() -> None:
    assert "hung" in findings(60, cpu=0.0, said=None)


def test_an_idle_engine_is_well_for_ever() -> None:
    assert set(findings(1000, cpu=0.0, said=counts(running=0))) == {"well"}


def test_one_that_computes_gets_longer() -> None:
    found = findings(400, cpu=0.9, said=counts())
    assert found.index("hung") == BUSY_PATIENCE * TIMEOUT


def test_an_answered_probe_is_progress() -> None:
    progress = EngineProgress(TIMEOUT, 0.0)
    for now in range(200):
        if progress.judge(float(now), counts(), 0.0) == "probe":
            progress.probed(float(now))
    assert progress.judge(200.0, counts(), 0.0) != "hung"


@given(st.lists(st.integers(0, 8), min_size=1, max_size=200))
def test_moving_counters_are_never_hung(gaps: list[int]) -> None:
    progress, now = EngineProgress(TIMEOUT, 0.0), 0.0
    for tokens, gap in enumerate(gaps):
        now += gap
        assert progress.judge(now, counts(tokens=tokens + 10), 0.0) == "well"
