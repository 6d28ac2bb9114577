from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pilotage.prove.analysis.statistics import (
    design_effect,
    first,
    percentile,
    quantile_interval,
    rank,
    share_interval,
)

SHARES = st.floats(0.01, 0.99)
QUANTILES = st.sampled_from([0.5, 0.9, 0.95, 0.99])
SAMPLES = st.lists(st.floats(0, 100) | st.just(float("inf")), min_size=1, max_size=300)


def ordered(*values: float) -> NDArray[np.float64]:
    return np.sort(np.array(values, dtype=np.float64))


@pytest.mark.parametrize(
    ("count", "quantile", "place"),
    [
        (100, 0.99, 99),
        (101, 0.99, 100),
        (1, 0.99, 1),
        (1, 0.01, 1),
        (4, 0.5, 2),
        (5, 0.5, 3),
        (100, 0.07, 7),  # 0.07 * 100 is more than 7 in floating point
        (1000, 0.999, 999),
        (10_000_000, 0.99, 9_900_000),
    ],
)
def test_ranks_are_exact(count: int, quantile: float, place: int) -> None:
    assert rank(count, quantile) == place


def test_percentiles_are_values_of_the_sample_and_failures_lie_above_all() -> None:
    assert percentile(ordered(4, 1, 3, 2), 0.5) == 2
    assert percentile(ordered(4, 1, 3, 2), 0.75) == 3
    assert percentile(ordered(1, 2, 3, np.inf), 0.75) == 3
    assert percentile(ordered(1, 2, 3, np.inf), 0.76) is None
    assert percentile(ordered(), 0.5) is None


@given(SAMPLES, QUANTILES)
def test_percentile_is_the_smallest_value_that_enough_do_not_exceed(
    values: list[float], quantile: float
) -> None:
    array = ordered(*values)
    found = percentile(array, quantile)
    value = np.inf if found is None else found
    assert value in values
    assert np.count_nonzero(array <= value) >= quantile * len(array) - 1e-9
    assert np.count_nonzero(array < value) < quantile * len(array)


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        # Closed forms: 1 - (alpha/2)^(1/n) for none, and its mirror for all.
        (0, 10, 0.0, 1 - 0.025 ** (1 / 10)),
        (10, 10, 0.025 ** (1 / 10), 1.0),
        # Clopper and Pearson's own interval of 0.1 from 10 in 100, as R's binom.test gives it.
        (10, 100, 0.04900469, 0.17622260),
        (1, 2, 0.01257912, 0.98742088),
    ],
)
def test_share_interval(hits: int, count: int, low: float, high: float) -> None:
    assert share_interval(hits, count, 0.95) == pytest.approx((low, high), abs=1e-7)


@given(st.integers(0, 500), st.integers(0, 500), SHARES, st.floats(1, 50))
def test_share_interval_holds_the_share_and_widens_with_confidence_and_dependence(
    hits: int, others: int, confidence: float, effect: float
) -> None:
    count = hits + others + 1
    low, high = share_interval(hits, count, confidence, effect)
    # Below a confidence of 1/2 or so an exact interval need not reach the share itself.
    if confidence >= 0.8:
        assert low <= hits / count <= high
        wider = share_interval(hits, count, confidence, effect * 2)
        assert wider[0] <= low + 1e-12
        assert wider[1] >= high - 1e-12
    more = share_interval(hits, count, (1 + confidence) / 2, effect)
    assert more[0] <= low
    assert more[1] >= high


def test_quantile_interval_is_the_binomial_one() -> None:
    values = np.arange(1, 101, dtype=np.float64)
    # Of 100 independent values the 40th and the 61st hold the median with 95 %: a table entry.
    assert quantile_interval(values, 0.5, 0.95) == (40, 61)


def test_quantile_interval_is_open_where_the_sample_says_nothing() -> None:
    assert quantile_interval(ordered(), 0.5, 0.95) == (None, None)
    assert quantile_interval(ordered(1), 0.5, 0.95) == (None, None)
    assert quantile_interval(np.arange(300.0), 0.99, 0.95)[1] is None
    low, high = quantile_interval(np.full(100, np.inf), 0.5, 0.95)
    assert (low, high) == (None, None)


@given(SAMPLES, QUANTILES, st.floats(0.8, 0.999), st.floats(1, 20))
def test_quantile_interval_holds_the_percentile(
    values: list[float], quantile: float, confidence: float, effect: float
) -> None:
    array = ordered(*values)
    value = percentile(array, quantile)
    low, high = quantile_interval(array, quantile, confidence, effect)
    assert low is None or value is None or low <= value
    assert high is None or (value is not None and value <= high)


@given(SAMPLES, QUANTILES, st.data())
def test_a_failure_more_only_makes_things_worse(
    values: list[float], quantile: float, data: st.DataObject
) -> None:
    def worse(one: float | None, other: float | None) -> bool:
        return other is None or (one is not None and other >= one)

    place = data.draw(st.integers(0, len(values) - 1))
    array = ordered(*values)
    failed = ordered(*values[:place], np.inf, *values[place + 1 :])
    assert worse(percentile(array, quantile), percentile(failed, quantile))
    _, high = quantile_interval(array, quantile, 0.95)
    assert worse(high, quantile_interval(failed, quantile, 0.95)[1])


@given(SAMPLES, QUANTILES, st.floats(0, 100), st.floats(1, 20))
def test_interval_and_share_say_the_same_of_a_target(
    values: list[float], quantile: float, target: float, effect: float
) -> None:
    array = ordered(*values)
    late = int(np.count_nonzero(array > target))
    share = share_interval(late, len(array), 0.95, effect)
    low, high = quantile_interval(array, quantile, 0.95, effect)
    assert (share[1] <= 1 - quantile) == (high is not None and high <= target)
    if low is not None:
        assert (share[0] > 1 - quantile) == (low > target)


def exponential(rng: np.random.Generator, runs: int, count: int) -> NDArray[np.float64]:
    return rng.exponential(size=(runs, count))


def queue(rng: np.random.Generator, runs: int, count: int, load: float) -> NDArray[np.float64]:
    """Time in an M/M/1 queue in equilibrium, by Lindley's recursion."""
    gaps, service = rng.exponential(size=(runs, count)), rng.exponential(load, (runs, count))
    wait = np.where(rng.random(runs) < load, rng.exponential(load / (1 - load), runs), 0)
    times = np.empty((runs, count))
    for place in range(count):
        times[:, place] = wait + service[:, place]
        wait = np.maximum(0, times[:, place] - gaps[:, place])
    return times


def coverage(runs: NDArray[np.float64], quantile: float, truth: float) -> tuple[float, float]:
    """Share of the runs whose interval holds ``truth``: with the design effect, and without."""
    held = np.zeros(2)
    for values in runs:
        array = np.sort(values)
        threshold = array[rank(len(array), quantile) - 1]
        for place, effect in enumerate((design_effect(values, array, threshold), 1.0)):
            low, high = quantile_interval(array, quantile, 0.95, effect)
            held[place] += (low is None or low <= truth) and (high is None or truth <= high)
    return held[0] / len(runs), held[1] / len(runs)


@pytest.mark.parametrize("quantile", [0.5, 0.99])
def test_intervals_of_independent_requests_cover_and_are_no_wider_than_they_must(
    quantile: float,
) -> None:
    runs = exponential(np.random.default_rng(7), 400, 1000)
    honest, naive = coverage(runs, quantile, -np.log(1 - quantile))
    assert honest >= 0.94
    assert naive <= honest <= 0.99
    effects = [
        design_effect(values, np.sort(values), np.quantile(values, quantile)) for values in runs
    ]
    assert np.mean(np.array(effects) == 1) >= 0.85
    assert np.mean(effects) < 1.1


@pytest.mark.parametrize(("load", "quantile"), [(0.5, 0.5), (0.5, 0.99), (0.8, 0.5), (0.8, 0.99)])
def test_intervals_of_queueing_requests_cover_where_naive_ones_do_not(
    load: float, quantile: float
) -> None:
    runs = queue(np.random.default_rng(7), 150, 2000, load)
    # Time in the system is exponential with mean load / (1 - load) in units of the mean gap.
    honest, naive = coverage(runs, quantile, -np.log(1 - quantile) * load / (1 - load))
    assert honest >= 0.83
    assert naive <= 0.75
    assert honest >= naive + 0.2


def test_a_stall_every_so_often_is_no_crowd_of_independent_events() -> None:
    # Every 100th to 109th request of 4,000 is late: 40 stalls, not 400 late requests.
    values = np.where(np.arange(4000) % 100 < 10, 1.0, 0.1)
    values += np.random.default_rng(1).normal(0, 0.001, 4000)
    assert design_effect(values, np.sort(values), 0.5) == pytest.approx(8, rel=0.3)


def test_design_effect_of_samples_that_tell_nothing_is_one() -> None:
    for values in (np.empty(0), np.ones(5), np.ones(1000), np.full(1000, np.inf)):
        assert design_effect(values, values, 1.0) == 1.0


def test_first_bisects() -> None:
    at_least = lambda limit, value: value >= limit  # noqa: E731
    assert [first(partial(at_least, limit), 10) for limit in (-1, 0, 7, 10, 11)] == [
        0,
        0,
        7,
        10,
        11,
    ]
