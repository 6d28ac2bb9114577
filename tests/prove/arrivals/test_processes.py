"""Arrival processes: what holds for all of them, and that each is the one it says it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pilotage.errors import UsageError
from pilotage.prove.arrivals import MAX_REQUESTS, constant, gamma, poisson, ramp
from pilotage.prove.load import Schedule

Process = Callable[[float, float, int], Schedule]

RANDOM: dict[str, Process] = {
    "poisson": poisson,
    "bursts": lambda rate, duration_s, seed: gamma(rate, duration_s, 0.25, seed),
    "even": lambda rate, duration_s, seed: gamma(rate, duration_s, 16, seed),
    "ramp": lambda rate, duration_s, seed: ramp(rate, 3 * rate, 4, duration_s, seed),
}
ALL: dict[str, Process] = {
    **RANDOM,
    "constant": lambda rate, duration_s, _seed: constant(rate, duration_s),
}

# A p-value below this at a fixed seed means that the distribution is another one.
SIGNIFICANT = 0.001


def gaps(schedule: Schedule) -> np.ndarray:
    return np.diff(schedule.times_s)


class TestEverySchedule:
    @settings(max_examples=60, deadline=None)
    @given(
        process=st.sampled_from(sorted(ALL)),
        expected=st.floats(60, 2000),
        duration_s=st.floats(1e-3, 1e5),
        seed=st.integers(0, 2**64),
    )
    def test_ascends_within_its_duration_and_is_reproducible(
        self, process: str, expected: float, duration_s: float, seed: int
    ) -> None:
        rate = expected / duration_s

        schedule = ALL[process](rate, duration_s, seed)

        assert schedule.times_s.dtype == np.float64
        assert np.all(np.diff(schedule.times_s) >= 0)
        assert schedule.times_s[0] >= 0
        assert schedule.times_s[-1] < duration_s
        assert schedule.duration_s == duration_s
        assert np.array_equal(schedule.times_s, ALL[process](rate, duration_s, seed).times_s)

    @pytest.mark.parametrize("process", RANDOM)
    def test_another_seed_gives_other_arrivals(self, process: str) -> None:
        schedules = [RANDOM[process](20, 30, seed).times_s for seed in range(5)]

        assert all(not np.isin(one, other).any() for one, other in pairwise(schedules))

    @pytest.mark.parametrize("process", ["poisson", "bursts", "even", "constant"])
    def test_a_longer_run_begins_like_a_shorter_one(self, process: str) -> None:
        short, long = (ALL[process](1000, duration_s, 3).times_s for duration_s in (90, 200))

        assert np.array_equal(short, long[: len(short)])
        assert long[len(short)] >= 90

    @pytest.mark.parametrize("process", ALL)
    def test_the_rate_only_changes_the_speed(self, process: str) -> None:
        slow, fast = ALL[process](10, 120, 3), ALL[process](40, 30, 3)

        assert np.allclose(slow.times_s, 4 * fast.times_s)

    def test_arrivals_are_not_a_payload_generators_numbers(self) -> None:
        # numpy.random.default_rng(seed) is what anything else in a run is likely to use.
        others = np.cumsum(np.random.default_rng(7).standard_exponential(100))

        assert not np.allclose(poisson(1, 200, 7).times_s[:100], others)


class TestConstant:
    def test_is_at_equal_distances_from_the_start(self) -> None:
        assert constant(4, 2).times_s.tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]

    def test_leaves_out_the_arrival_at_the_end_whatever_the_rounding(self) -> None:
        # 0.1 * 30 is a little more than 3 in binary.
        assert constant(0.1, 30).times_s.tolist() == [0, 10, 20]
        assert constant(0.1, 30.0001).times_s.tolist() == [0, 10, 20, 30]

    def test_sends_one_at_once_where_the_gap_is_longer_than_the_run(self) -> None:
        assert constant(0.01, 1).times_s.tolist() == [0]

    def test_describes_itself(self) -> None:
        assert constant(20, 90).description == "constant, 20/s for 90s"


class TestPoisson:
    @pytest.mark.parametrize("seed", range(5))
    def test_gaps_are_exponential(self, seed: int) -> None:
        schedule = poisson(50, 200, seed)

        assert stats.kstest(gaps(schedule), stats.expon(scale=1 / 50).cdf).pvalue > SIGNIFICANT

    def test_the_first_arrival_is_an_exponential_gap_from_the_start(self) -> None:
        firsts = [poisson(5, 10, seed).times_s[0] for seed in range(400)]

        assert stats.kstest(firsts, stats.expon(scale=1 / 5).cdf).pvalue > SIGNIFICANT

    def test_gaps_do_not_depend_on_one_another(self) -> None:
        found = gaps(poisson(50, 1000, 1))

        assert stats.spearmanr(found[:-1], found[1:]).pvalue > SIGNIFICANT

    def test_the_number_of_arrivals_is_poisson_not_fixed(self) -> None:
        # Arrivals squeezed into the duration would come out at 100 every time: variance 0.
        counts = np.array([len(poisson(10, 10, seed)) for seed in range(600)])

        assert counts.mean() == pytest.approx(100, abs=4 * 10 / math.sqrt(600))
        # (n - 1) times the index of dispersion is chi-squared for a Poisson count.
        dispersion = 599 * counts.var(ddof=1) / counts.mean()
        assert (
            2 * min(stats.chi2.cdf(dispersion, 599), stats.chi2.sf(dispersion, 599)) > SIGNIFICANT
        )

    def test_gaps_never_repeat(self) -> None:
        # They would where parts of a schedule began anew from one seed.
        found = gaps(poisson(1000, 300, 1)) * 1000

        assert len(np.unique(np.round(found, 6))) > 0.8 * len(found)

    def test_describes_itself(self) -> None:
        assert poisson(20, 60, 1).description == "Poisson, 20/s for 1m"


class TestGamma:
    @pytest.mark.parametrize("burstiness", [0.25, 1, 4])
    @pytest.mark.parametrize("seed", range(3))
    def test_gaps_are_gamma_with_that_shape(self, burstiness: float, seed: int) -> None:
        found = gaps(gamma(50, 200, burstiness, seed))
        wanted = stats.gamma(burstiness, scale=1 / (50 * burstiness))

        assert stats.kstest(found, wanted.cdf).pvalue > SIGNIFICANT

    def test_gaps_of_another_shape_would_be_told_apart(self) -> None:
        found = gaps(gamma(50, 200, 0.5, 1))

        assert stats.kstest(found, stats.expon(scale=1 / 50).cdf).pvalue < SIGNIFICANT

    @pytest.mark.parametrize("burstiness", [0.25, 4.0])
    def test_variation_of_the_gaps_is_that_of_vllms_definition(self, burstiness: float) -> None:
        found = gaps(gamma(100, 2000, burstiness, 1))

        assert found.std() / found.mean() == pytest.approx(1 / math.sqrt(burstiness), rel=0.02)

    @pytest.mark.parametrize("burstiness", [0.05, 20])
    def test_the_mean_rate_is_as_given_from_the_start(self, burstiness: float) -> None:
        # An ordinary renewal process begins with a whole gap: for 0.05 that is 9.5 requests more
        # on average than the 100 that are asked for, for 20 half a request less.
        counts = np.array([len(gamma(10, 10, burstiness, seed)) for seed in range(1500)])

        error = counts.std(ddof=1) / math.sqrt(len(counts))
        assert abs(counts.mean() - 100) < 3.3 * error

    def test_no_part_of_the_run_has_more_arrivals_than_another(self) -> None:
        times = np.concatenate([gamma(2, 10, 0.25, seed).times_s for seed in _filled(2, 10, 0.25)])
        counts = np.histogram(times, bins=10, range=(0, 10))[0]

        # Arrivals come in clumps, so a tenth's count varies more than its root: 4 times at most.
        assert np.all(np.abs(counts - counts.mean()) < 3.5 * np.sqrt(4 * counts.mean()))

    @pytest.mark.parametrize("burstiness", [0, -1, math.nan, math.inf, 0.009, 1001])
    def test_refuses_a_shape_without_use(self, burstiness: float) -> None:
        with pytest.raises(UsageError, match=r"burstiness: .*0\.01 to 1000: 1 is Poisson"):
            gamma(20, 60, burstiness, 1)

    @pytest.mark.parametrize("burstiness", [0.01, 1000])
    def test_takes_the_extremes(self, burstiness: float) -> None:
        assert len(gamma(100, 100, burstiness, 1)) > 1000

    def test_describes_itself(self) -> None:
        assert gamma(20, 60, 0.25, 1).description == "gamma, burstiness 0.25, 20/s for 1m"


def _filled(rate: float, duration_s: float, burstiness: float) -> list[int]:
    """Seeds, all of which have arrivals: bursty ones leave some short runs empty."""
    seeds = []
    for seed in range(1000):
        try:
            gamma(rate, duration_s, burstiness, seed)
        except UsageError:
            continue
        seeds.append(seed)
    return seeds


class TestRamp:
    def test_each_step_is_poisson_at_its_rate(self) -> None:
        schedule = ramp(20, 100, 5, 500, 1)

        assert schedule.stages == ((0, 20), (100, 40), (200, 60), (300, 80), (400, 100))
        for start, rate in schedule.stages:
            inside = schedule.times_s[
                (schedule.times_s >= start) & (schedule.times_s < start + 100)
            ]
            assert len(inside) == pytest.approx(100 * rate, abs=4 * math.sqrt(100 * rate))
            assert (
                stats.kstest(np.diff(inside), stats.expon(scale=1 / rate).cdf).pvalue > SIGNIFICANT
            )

    def test_goes_down_as_well(self) -> None:
        schedule = ramp(100, 10, 10, 100, 1)

        assert [rate for _, rate in schedule.stages] == [*range(100, 0, -10)]
        assert np.sum(schedule.times_s < 10) > 5 * np.sum(schedule.times_s >= 90)

    def test_counts_are_not_fixed(self) -> None:
        counts = np.array([len(ramp(5, 15, 3, 10, seed)) for seed in range(400)])

        assert counts.var(ddof=1) / counts.mean() == pytest.approx(1, abs=0.25)

    def test_describes_itself(self) -> None:
        assert ramp(10, 50, 5, 60, 1).description == "ramp, 10/s to 50/s in 5 steps of 12s"

    @pytest.mark.parametrize("steps", [-1, 0, 1, 10_001])
    def test_refuses_a_number_of_steps_that_is_none(self, steps: int) -> None:
        with pytest.raises(UsageError, match="steps: got"):
            ramp(10, 50, steps, 60, 1)

    @pytest.mark.parametrize(("first", "last", "named"), [(0, 5, "first"), (5, 0, "last")])
    def test_names_the_rate_that_is_wrong(self, first: float, last: float, named: str) -> None:
        with pytest.raises(UsageError, match=f"{named} rate: got 0"):
            ramp(first, last, 3, 60, 1)


class TestBounds:
    @pytest.mark.parametrize("process", ALL)
    @pytest.mark.parametrize("rate", [0, -0.0, -5, math.nan, math.inf, -math.inf])
    def test_refuses_a_rate_that_is_none(self, process: str, rate: float) -> None:
        with pytest.raises(UsageError, match=r"rate: got .* Give a rate above zero, such as 20/s"):
            ALL[process](rate, 60, 1)

    @pytest.mark.parametrize("process", ALL)
    @pytest.mark.parametrize("duration_s", [0, -1, math.nan, math.inf])
    def test_refuses_a_duration_that_is_none(self, process: str, duration_s: float) -> None:
        with pytest.raises(UsageError, match=r"duration: got .* such as 60s or 5m"):
            ALL[process](20, duration_s, 1)

    @pytest.mark.parametrize("process", ALL)
    def test_refuses_too_many_requests_and_says_how_many(self, process: str) -> None:
        with pytest.raises(UsageError) as refused:
            ALL[process](80, 86_400, 1)

        count = "13,824,000" if process == "ramp" else "6,912,000"
        assert f"for 1d is {count} requests, more than the 5,000,000" in str(refused.value)
        assert "Give a duration of at most" in str(refused.value)

    @pytest.mark.parametrize("rate", [1e300, 1.7e308])
    @pytest.mark.parametrize("process", ALL)
    def test_numbers_beyond_all_measure_are_refused_too(self, process: str, rate: float) -> None:
        with pytest.raises(UsageError, match=r"requests, more than|got inf"):
            ALL[process](rate, 1e300, 1)

    def test_takes_as_many_as_allowed(self) -> None:
        assert len(constant(MAX_REQUESTS, 1)) == MAX_REQUESTS

    def test_refuses_one_that_came_out_too_long_by_chance(self) -> None:
        # Of these seeds some bring more than the mean, which is all that is allowed.
        sizes = []
        for seed in range(6):
            try:
                sizes.append(len(poisson(MAX_REQUESTS, 1, seed)))
            except UsageError as error:
                assert "came out at 5,00" in str(error)
                sizes.append(None)
        assert None in sizes
        assert all(size is None or size <= MAX_REQUESTS for size in sizes)

    @pytest.mark.parametrize("process", RANDOM)
    def test_an_empty_schedule_is_refused_with_a_duration_that_would_do(self, process: str) -> None:
        with pytest.raises(UsageError) as refused:
            RANDOM[process](0.0001, 1, 1)

        assert "came out without a single request" in str(refused.value)
        assert "for about 10 requests" in str(refused.value)

    def test_the_duration_it_names_gives_about_ten(self) -> None:
        with pytest.raises(UsageError, match="Give a duration of 1000s, or a rate of 10/s"):
            poisson(0.01, 1, 1)

        assert 2 <= len(poisson(0.01, 1000, 1)) <= 25

    def test_a_rate_below_all_measure_is_refused_without_an_infinite_hint(self) -> None:
        with pytest.raises(UsageError, match="Give a rate of 10/s"):
            poisson(5e-324, 1, 1)

    @pytest.mark.parametrize("process", RANDOM)
    def test_refuses_a_negative_seed(self, process: str) -> None:
        with pytest.raises(UsageError, match="seed: got -1"):
            RANDOM[process](20, 60, -1)
