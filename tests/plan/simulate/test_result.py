import numpy as np
import pytest
from step_models import Affine, Roofline

from pilotage.plan.demand import Demand, Lengths
from pilotage.plan.simulate import Fleet, Requests, simulate
from pilotage.plan.simulate.result import percentiles
from pilotage.plan.step_model import EngineLimits

LIMITS = EngineLimits(
    max_num_seqs=64, max_num_batched_tokens=2048, kv_tokens=100_000, max_model_len=4096
)
MODERATION = Demand(
    rate=100,
    peak=100,
    shape="steady",
    prompt=Lengths(p50=150, p99=600),
    completion=Lengths(p50=4, p99=10),
)


def test_one_request_takes_its_steps():
    one = Requests(np.array([0.0]), np.array([100]), np.array([3]), 10.0)
    result = simulate(one, Affine(), LIMITS)
    prefill = 0.01 + 0.01 + 1e-7 * 5050
    decode = 2 * (0.01 + 2e-4) + 1e-6 * (101 + 102)
    assert result.ttft.p50 == pytest.approx(prefill)
    assert result.e2e.p50 == pytest.approx(prefill + decode)
    assert result.tpot.p50 == pytest.approx(decode / 2)
    assert result.utilisation == pytest.approx((prefill + decode) / 10)
    assert result.output_tokens_per_s == pytest.approx(0.3)


def test_a_demand_is_simulated_alike_in_windows_and_in_one_piece():
    fleet = Fleet(replicas=4, routing="round-robin")
    runs = [
        simulate(MODERATION, Roofline(), LIMITS, fleet, duration_s=360, seed=2, exact=exact)
        for exact in (False, True)
    ]
    windows, piece = runs
    assert piece.window_bias == 0.0
    assert 0.0 < abs(windows.window_bias) <= 0.01
    assert windows.e2e.p99 == pytest.approx(piece.e2e.p99, rel=0.02)
    assert windows.utilisation == pytest.approx(piece.utilisation, rel=0.01)
    assert piece.requests_per_s == pytest.approx(100, rel=0.05)
    # Another seed's 99th percentile is within the interval, or close to it.
    other = simulate(MODERATION, Roofline(), LIMITS, fleet, duration_s=320, seed=3)
    assert 0.95 * piece.e2e.p99_low < other.e2e.p99 < 1.05 * piece.e2e.p99_high


def test_curves_for_a_chart():
    result = simulate(MODERATION, Roofline(), LIMITS, Fleet(replicas=2), duration_s=60)
    seconds, shares = zip(*result.cdf("e2e", 40), strict=True)
    assert list(seconds) == sorted(seconds)
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(0.999)
    assert result.share_within("e2e", seconds[30]) == pytest.approx(shares[30], abs=0.01)
    timeline = result.timeline(10)
    assert len(timeline) == 10
    assert np.mean([m.arrivals_per_s for m in timeline]) == pytest.approx(100, rel=0.05)
    assert all(m.replicas == 2 and m.in_progress >= 0 for m in timeline)


def test_completions_of_one_token_have_no_time_per_token():
    times = np.arange(20) * 0.1
    ones = Requests(times, np.full(20, 10), np.ones(20, np.int64), 2.0)
    result = simulate(ones, Affine(), LIMITS)
    assert result.tpot is None
    assert result.e2e == result.ttft


def test_the_warm_up_is_not_judged():
    result = simulate(
        MODERATION, Roofline(), LIMITS, Fleet(replicas=4), duration_s=20, warm_up_s=10
    )
    assert result.requests == pytest.approx(1000, rel=0.1)
    assert result.requests_per_s == pytest.approx(100, rel=0.15)


def test_the_interval_holds_the_quantile_as_often_as_it_says():
    random = np.random.default_rng(0)
    when = np.linspace(0, 1, 4000, endpoint=False)
    truth = -np.log(0.01)
    held = 0
    for _ in range(200):
        found = percentiles(random.exponential(1.0, 4000), when, 0.0, 1.0)
        assert found.p99_low <= found.p99 <= found.p99_high
        held += found.p99_low <= truth <= found.p99_high
    assert 0.88 <= held / 200 <= 0.99


def test_correlated_samples_have_a_wider_interval():
    random = np.random.default_rng(0)
    when = np.linspace(0, 1, 4000, endpoint=False)
    blocks = np.repeat(random.exponential(1.0, 200), 20) + random.exponential(0.1, 4000)
    alone = percentiles(random.permutation(blocks), when, 0.0, 1.0)
    together = percentiles(blocks, when, 0.0, 1.0)
    assert together.p99_high - together.p99_low > 1.5 * (alone.p99_high - alone.p99_low)
