import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.prove.payloads.lengths import LogNormalLengths
from pilotage.prove.payloads.seeding import random_for
from pilotage.spec.workload import TokensSpec


def drawn(lengths, count, seed=0):
    draws = lengths.draws(random_for(seed, "lengths"))
    return np.array([next(draws) for _ in range(count)])


@pytest.mark.parametrize(("p50", "p99"), [(180, 900), (60, 128), (1000, 8000)])
def test_the_percentiles_are_the_specs(p50, p99):
    values = drawn(LogNormalLengths.of(TokensSpec(p50=p50, p99=p99)), 40_000)
    # Standard errors of the sample percentiles, about 0.5 % and 2 % of the spread, three times.
    assert np.quantile(values, 0.5) == pytest.approx(p50, rel=0.03)
    assert np.quantile(values, 0.99) == pytest.approx(p99, rel=0.08)
    # And the shape between them: the logarithm's 16th and 84th percentiles are one sigma away.
    sigma = np.log(p99 / p50) / 2.3263
    below, above = np.quantile(np.log(values), [0.1587, 0.8413])
    assert above - below == pytest.approx(2 * sigma, rel=0.04)


@given(
    p50=st.integers(1, 10_000),
    factor=st.floats(1, 30),
    most=st.none() | st.integers(1, 20_000),
    seed=st.integers(),
)
def test_every_length_is_at_least_one_and_within_its_bounds(p50, factor, most, seed):
    spec = TokensSpec(p50=p50, p99=int(p50 * factor))
    values = drawn(LogNormalLengths.of(spec, most=most), 200, seed)
    assert values.min() >= 1
    assert values.max() <= min(4 * spec.p99, most or 10**9)


def test_equal_percentiles_mean_one_length():
    values = drawn(LogNormalLengths.of(TokensSpec(p50=77, p99=77)), 50)
    assert set(values) == {77}


def test_seeds():
    lengths = LogNormalLengths.of(TokensSpec(p50=180, p99=900))
    assert list(drawn(lengths, 20, 1)) == list(drawn(lengths, 20, 1))
    assert list(drawn(lengths, 20, 1)) != list(drawn(lengths, 20, 2))


def test_no_room():
    with pytest.raises(UsageError, match="no room for a prompt"):
        LogNormalLengths.of(TokensSpec(p50=5, p99=9), most=0)
