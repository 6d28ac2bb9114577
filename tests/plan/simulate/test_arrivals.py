import numpy as np
import pytest

from pilotage.errors import UsageError
from pilotage.plan.demand import Demand, Lengths
from pilotage.plan.simulate.arrivals import bursty, even, from_demand, poisson, traced
from pilotage.plan.simulate.requests import Requests, draw_lengths
from pilotage.plan.step_model import EngineLimits


def demand(**more) -> Demand:
    given = {"rate": 50.0, "peak": 200.0, "shape": "spiky", **more}
    lengths = {"prompt": Lengths(p50=100, p99=400), "completion": Lengths(p50=20, p99=60)}
    return Demand(**{**lengths, **given})


def dispersion(times: np.ndarray, duration: float, width: float) -> float:
    counts = np.histogram(times, np.arange(0, duration + width, width))[0]
    return counts.var() / counts.mean()


def test_poisson_has_its_rate_and_its_variance():
    times = poisson(100.0, 400.0, np.random.default_rng(1))
    assert len(times) == pytest.approx(40_000, rel=0.02)
    assert (np.diff(times) >= 0).all()
    assert dispersion(times, 400, 1) == pytest.approx(1, abs=0.3)


def test_bursts_keep_the_mean_and_reach_the_peak():
    duration = 40_000.0
    times = bursty(10.0, 40.0, duration, np.random.default_rng(3), burst_s=20.0)
    assert len(times) / duration == pytest.approx(10, rel=0.05)
    a_window = np.histogram(times, np.arange(0, duration, 5.0))[0] / 5
    assert np.quantile(a_window, 0.99) == pytest.approx(40, rel=0.25)
    assert np.quantile(a_window, 0.1) == pytest.approx(5, rel=0.4)
    assert dispersion(times, duration, 5) > 10


def test_bursts_to_the_mean_are_none():
    assert np.array_equal(
        bursty(5, 5, 100, np.random.default_rng(2)), poisson(5, 100, np.random.default_rng(2))
    )


@pytest.mark.parametrize(("shape", "scatter"), [("batch", 0.1), ("steady", 1.0)])
def test_a_demand_becomes_requests_of_its_shape(shape, scatter):
    requests = from_demand(demand(shape=shape), 200.0, seed=5)
    assert len(requests) == pytest.approx(10_000, rel=0.05)
    assert dispersion(requests.times_s, 200, 1) == pytest.approx(scatter, abs=0.3)
    assert np.median(requests.prompt) == pytest.approx(100, rel=0.05)
    assert np.quantile(requests.completion, 0.99) == pytest.approx(60, rel=0.1)


def test_a_seed_is_one_set_of_requests():
    one, again, other = (from_demand(demand(), 50.0, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.times_s, again.times_s)
    assert np.array_equal(one.prompt, again.prompt)
    assert len(one) != len(other) or not np.array_equal(one.times_s, other.times_s)


def test_images_bring_their_tokens_and_another_rate_keeps_the_ratio_of_the_peak():
    requests = from_demand(demand(images=2), 100.0, seed=1, rate=5.0, image_tokens=1000)
    assert requests.prompt.min() > 2000
    assert requests.images == 2
    assert len(requests) < 2500


def test_equal_percentiles_make_one_length():
    drawn = draw_lengths(Lengths(p50=7, p99=7), 50, np.random.default_rng(0))
    assert set(drawn.tolist()) == {7}


def test_a_trace_is_put_in_order_and_begins_at_0():
    requests = traced(np.array([9.0, 5.0, 7.0]), np.array([1, 2, 3]), np.array([4, 0, 6]))
    assert requests.times_s.tolist() == [0.0, 2.0, 4.0]
    assert requests.prompt.tolist() == [2, 3, 1]
    assert requests.completion.tolist() == [1, 6, 4]
    assert requests.duration_s == 4.0


def test_lengths_are_cut_to_the_context():
    limits = EngineLimits(
        max_num_seqs=1, max_num_batched_tokens=10, kv_tokens=100, max_model_len=50
    )
    times = np.array([0.0, 1.0, 2.0])
    cut = Requests(times, np.array([80, 40, 5]), np.array([9, 20, 9]), 3.0).within(limits)
    assert cut.prompt.tolist() == [49, 40, 5]
    assert cut.completion.tolist() == [1, 10, 9]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: poisson(0, 10, np.random.default_rng(0)),
        lambda: even(1e9, 3600),
        lambda: bursty(10, 5, 10, np.random.default_rng(0)),
        lambda: draw_lengths(Lengths(p50=10, p99=5), 1, np.random.default_rng(0)),
        lambda: traced(np.array([]), np.array([]), np.array([])),
        lambda: Requests(np.array([1.0, 0.5]), np.array([1, 1]), np.array([1, 1]), 2.0),
        lambda: Requests(np.array([1.0]), np.array([1, 1]), np.array([1, 1]), 2.0),
        lambda: Requests(np.array([1.0]), np.array([0]), np.array([1]), 2.0),
    ],
)
def test_what_cannot_arrive_is_refused(wrong):
    with pytest.raises(UsageError):
        wrong()
