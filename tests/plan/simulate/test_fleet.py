"""Fleets that change: autoscaling, spot, admission, and what they are billed."""

import numpy as np
import pytest
from step_models import Affine

from pilotage.errors import UsageError
from pilotage.plan.simulate import Autoscaling, Fleet, Requests, Spot, simulate
from pilotage.plan.step_model import EngineLimits

LIMITS = EngineLimits(
    max_num_seqs=8, max_num_batched_tokens=256, kv_tokens=10_000, max_model_len=1000
)


def steady(rate: float, span: float, begin: float = 0.0, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.sort(random.uniform(begin, begin + span, int(rate * span)))


def requests(times: np.ndarray, span: float) -> Requests:
    random = np.random.default_rng(9)
    count = len(times)
    return Requests(times, random.integers(20, 200, count), random.integers(2, 40, count), span)


def rush() -> Requests:
    """Ten minutes at 3/s, ten at 50/s, ten at 3/s: one replica manages about 23/s."""
    times = np.concatenate((steady(3, 600), steady(50, 600, 600), steady(3, 600, 1200)))
    return requests(times, 1800.0)


POLICIES = [
    ("utilisation", 0.6),
    ("requests", 3.0),
    ("p90_latency", 0.6),
    ("queue", 1.0),
]


@pytest.mark.parametrize(("metric", "target"), POLICIES)
def test_a_rush_brings_replicas_and_its_end_sends_them_home(metric, target):
    policy = Autoscaling(metric=metric, target=target, least=1, most=12, in_cooldown_s=120)
    fleet = Fleet(replicas=1, start_s=90, autoscaling=policy)
    result = simulate(rush(), Affine(), LIMITS, fleet)
    levels = [moment.replicas for moment in result.timeline(180)]
    assert max(levels[:60]) <= 3
    assert 3 <= max(levels[60:130]) <= 12
    assert levels[-1] < max(levels)
    assert 0.5 < result.replica_hours < 6.0
    assert result.rejected == 0
    assert result.requests == len(rush())


def test_a_slow_start_costs_latency_and_replicas_in_start_up_are_paid():
    policy = Autoscaling(metric="requests", target=3.0, least=1, most=12)
    quick, slow = (
        simulate(rush(), Affine(), LIMITS, Fleet(start_s=s, autoscaling=policy))
        for s in (1.0, 240.0)
    )
    assert slow.ttft.p99 > 2 * quick.ttft.p99
    assert slow.replica_hours > 0.8 * quick.replica_hours


def test_scaling_stays_within_its_bounds_and_a_fixed_fleet_is_billed_in_full():
    policy = Autoscaling(metric="requests", target=0.01, least=2, most=3)
    bound = simulate(rush(), Affine(), LIMITS, Fleet(replicas=2, autoscaling=policy))
    assert {moment.replicas for moment in bound.timeline()} <= {2, 3}
    fixed = simulate(rush(), Affine(), LIMITS, Fleet(replicas=5))
    assert fixed.replica_hours == pytest.approx(5 * 0.5)


def test_interrupted_spot_replicas_are_replaced_and_their_requests_begin_anew():
    times = steady(8, 3600)
    spot = Spot(interruptions_per_hour=6, notice_s=0.0)
    interrupted = simulate(
        requests(times, 3600.0), Affine(), LIMITS, Fleet(replicas=2, start_s=60, spot=spot)
    )
    calm = simulate(requests(times, 3600.0), Affine(), LIMITS, Fleet(replicas=2))
    assert 4 <= interrupted.interruptions <= 25
    assert interrupted.restarted > 0
    assert interrupted.requests == calm.requests
    assert len(interrupted.samples("e2e")) == calm.requests
    assert interrupted.e2e.p99 > calm.e2e.p99
    # Two minutes of notice let everything end.
    patient = Spot(interruptions_per_hour=6)
    graceful = simulate(
        requests(times, 3600.0), Affine(), LIMITS, Fleet(replicas=2, start_s=60, spot=patient)
    )
    assert graceful.interruptions > 0
    assert graceful.restarted == 0


def test_when_the_only_replica_goes_requests_wait_for_its_successor():
    spot = Spot(interruptions_per_hour=20, notice_s=0.0)
    result = simulate(
        requests(steady(2, 1200), 1200.0), Affine(), LIMITS, Fleet(start_s=100, spot=spot)
    )
    assert result.interruptions > 1
    assert len(result.samples("e2e")) == result.requests
    assert 60 < result.ttft.p99 < 250


def test_admission_keeps_the_promise_under_overload_and_refuses_the_rest():
    flood = requests(steady(30, 300), 300.0)
    everybody = simulate(flood, Affine(), LIMITS)
    chosen = simulate(flood, Affine(), LIMITS, admission_ttft_s=1.0)
    assert everybody.ttft.p50 > 10
    assert chosen.ttft.p99 <= 1.0
    assert 0.1 < chosen.reject_rate < 0.5
    assert chosen.requests_per_s > 0.85 * everybody.requests_per_s


def test_admission_refuses_nobody_who_finds_room():
    calm = simulate(requests(steady(2, 300), 300.0), Affine(), LIMITS, admission_ttft_s=1.0)
    assert calm.reject_rate == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Fleet(replicas=0),
        lambda: Fleet(start_s=-1),
        lambda: Autoscaling(metric="queue", target=0),
        lambda: Autoscaling(metric="queue", target=1, least=3, most=2),
        lambda: Spot(interruptions_per_hour=-1),
        lambda: simulate(rush(), Affine(), LIMITS, warm_up_s=1800),
    ],
)
def test_what_makes_no_fleet_is_refused(wrong):
    with pytest.raises(UsageError):
        wrong()
