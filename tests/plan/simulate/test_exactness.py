"""The loop and the arrays against the slow, obvious simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_simulation import simulate as slow
from step_models import Affine

from pilotage.plan.simulate import sequential, windows
from pilotage.plan.simulate.fleet import Fleet
from pilotage.plan.simulate.requests import Requests
from pilotage.plan.simulate.step_table import StepTable
from pilotage.plan.step_model import EngineLimits

MODEL = Affine()


@st.composite
def small_cases(draw):
    """A few requests in some seconds, on engines whose limits are tight enough to be felt."""
    limits = EngineLimits(
        max_num_seqs=draw(st.integers(1, 6)),
        max_num_batched_tokens=draw(st.integers(1, 60)),
        kv_tokens=draw(st.integers(60, 300)),
        max_model_len=60,
    )
    count = draw(st.integers(1, 40))
    # Times of a generator, not hypothesis' own: round numbers would put arrivals on the very
    # ends of steps, where rounding decides who is first.
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    span = draw(st.sampled_from([0.05, 1.0, 5.0]))
    requests = Requests(
        np.sort(random.uniform(0, span, count)),
        random.integers(1, draw(st.integers(2, 60)), count),
        random.integers(1, draw(st.integers(2, 50)), count),
        span,
        draw(st.integers(0, 2)),
    ).within(limits)
    routing = draw(st.sampled_from(["least-loaded", "round-robin"]))
    return requests, limits, Fleet(replicas=draw(st.integers(1, 4)), routing=routing)


def table_of(requests: Requests, limits: EngineLimits) -> StepTable:
    return StepTable(MODEL, limits, prompt=30, completion=20)


@given(small_cases())
@settings(max_examples=150, deadline=None)
def test_loop_and_arrays_equal_the_slow_simulation(case):
    requests, limits, fleet = case
    first, finish = slow(requests, MODEL, limits, fleet.replicas, fleet.routing)
    table = table_of(requests, limits)
    loop = sequential.run(requests, table, limits, fleet, seed=0)
    assert loop.first_s == pytest.approx(np.array(first), rel=1e-9)
    assert loop.finish_s == pytest.approx(np.array(finish), rel=1e-9)
    groups = fleet.replicas if fleet.routing == "round-robin" else 1
    arrays = windows.run_cut(
        requests,
        table,
        limits,
        groups=groups,
        together=fleet.replicas // groups,
        how=windows.Cut(1, 0.0),
    )
    assert arrays.first_s == pytest.approx(np.array(first), rel=1e-9)
    assert arrays.finish_s == pytest.approx(np.array(finish), rel=1e-9)


@given(small_cases())
@settings(max_examples=40, deadline=None)
def test_nobody_overtakes_and_nobody_is_lost(case):
    requests, limits, fleet = case
    outcome = sequential.run(requests, table_of(requests, limits), limits, fleet, seed=0)
    assert (outcome.first_s > outcome.arrival_s).all()
    assert (outcome.finish_s >= outcome.first_s).all()
    if fleet.replicas == 1:
        # Prompts of one engine are read in order.
        assert (np.diff(outcome.first_s) >= 0).all()


@pytest.mark.parametrize("routing", ["least-loaded", "round-robin"])
def test_windows_side_by_side_say_what_one_piece_says(routing):
    random = np.random.default_rng(4)
    limits = EngineLimits(
        max_num_seqs=32, max_num_batched_tokens=512, kv_tokens=20_000, max_model_len=2000
    )
    count, span = 6000, 120.0
    requests = Requests(
        np.sort(random.uniform(0, span, count)),
        random.integers(20, 300, count),
        random.integers(1, 12, count),
        span,
    )
    table = StepTable(MODEL, limits, prompt=160, completion=6)
    whole = sequential.run(requests, table, limits, Fleet(replicas=3, routing=routing), seed=0)
    groups = 3 if routing == "round-robin" else 1
    cut = windows.run_cut(
        requests, table, limits, groups=groups, together=3 // groups, how=windows.Cut(12, 3.0)
    )
    assert abs(cut.window_bias) < 0.05
    assert cut.busy_s == pytest.approx(whole.busy_s, rel=0.01)
    for share in (0.5, 0.99):
        assert np.quantile(cut.finish_s - cut.arrival_s, share) == pytest.approx(
            np.quantile(whole.finish_s - whole.arrival_s, share), rel=0.02
        )


def test_an_overloaded_fleet_is_never_cut_into_windows():
    random = np.random.default_rng(4)
    limits = EngineLimits(
        max_num_seqs=2, max_num_batched_tokens=64, kv_tokens=2000, max_model_len=100
    )
    requests = Requests(
        np.sort(random.uniform(0, 100, 4000)),
        np.full(4000, 20),
        np.full(4000, 4),
        100.0,
    )
    table = StepTable(MODEL, limits, prompt=20, completion=4)
    cut = windows.run_cut(requests, table, limits, groups=1, together=1, how=windows.Cut(10, 1.0))
    assert cut.window_bias > 0.1
    fleet = Fleet(replicas=1)
    found = windows.run(requests, table, limits, fleet, relaxation_s=0.5, step_s=0.013)
    assert found is None
