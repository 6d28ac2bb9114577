"""How much is let through to an engine that queues without bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.serve.admission import MARGIN
from pilotage.serve.external.prompt_admission import (
    BackendLoad,
    Mean,
    PrefillMeter,
    predict_ttft,
    retry_after,
)

loads = st.builds(
    BackendLoad,
    sequences=st.integers(0, 500),
    slots=st.integers(1, 256),
    backlog_tokens=st.floats(0, 1e6),
    prefill_tokens_per_s=st.floats(1, 1e5),
    request_s=st.floats(0, 600),
)


def test_prefill_ahead_and_ones_own() -> None:
    load = BackendLoad(3, 8, 1000, 500, 4.0)
    assert predict_ttft(load, 500, 1) == pytest.approx(2 + 1)


def test_full_slots_are_waited_for() -> None:
    load = BackendLoad(8, 8, 0, 1e6, 4.0)
    assert predict_ttft(load, 0, 2) == pytest.approx(2 * 4 / 8)


@given(loads, st.floats(0, 1e5), st.floats(0.1, 60))
def test_the_first_is_always_let_in_and_the_wait_is_enough(
    load: BackendLoad, tokens: float, target: float
) -> None:
    wait = retry_after(load, tokens, 1, target)
    if load.sequences == 0 or predict_ttft(load, tokens, 1) <= MARGIN * target:
        assert wait is None
    else:
        assert wait is not None
        assert wait >= predict_ttft(load, tokens, 1) - MARGIN * target


def test_the_rate_is_learned_only_while_requests_wait() -> None:
    meter = PrefillMeter(100.0)
    for second in range(50):
        meter.saw(float(second), 10 * second, 0)
    assert meter.tokens_per_s == 100.0
    for second in range(50, 100):
        meter.saw(float(second), 400 * second, 2)
    assert meter.tokens_per_s == pytest.approx(400, rel=0.01)


def test_a_mean_begins_with_its_first_value() -> None:
    mean = Mean()
    mean.add(4.0)
    assert mean.value == 4.0
