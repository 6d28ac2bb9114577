import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.plan.queueing import (
    erlang_b,
    erlang_c,
    mmc_wait_quantile_s,
    mmc_wait_s,
    servers_for,
)


@given(st.floats(0.01, 30), st.integers(1, 40))
def test_b_is_the_truncated_poisson_distribution(load, servers):
    terms = [load**k / math.factorial(k) for k in range(servers + 1)]
    assert erlang_b(load, servers) == pytest.approx(terms[-1] / sum(terms), rel=1e-9)


@given(st.floats(0.01, 0.99), st.integers(1, 40))
def test_c_is_the_sum_over_states_with_all_busy(rho, servers):
    load = rho * servers
    busy = load**servers / math.factorial(servers) / (1 - rho)
    free = sum(load**k / math.factorial(k) for k in range(servers))
    assert erlang_c(load, servers) == pytest.approx(busy / (free + busy), rel=1e-9)


def test_textbook_values():
    # One server: the probability of waiting is the utilisation, the mean wait rho/(1-rho) S.
    assert erlang_c(0.8, 1) == pytest.approx(0.8)
    assert mmc_wait_s(0.8, 1.0, 1) == pytest.approx(4.0)
    # Two servers at rho = 0.8: C = 2 rho^2 / (1 + rho).
    assert erlang_c(1.6, 2) == pytest.approx(2 * 0.64 / 1.8)
    assert mmc_wait_quantile_s(0.8, 1.0, 1, 0.99) == pytest.approx(math.log(80) / 0.2)


def test_who_finds_a_server_free_does_not_wait():
    share_that_waits = erlang_c(1.0, 5)
    assert mmc_wait_quantile_s(1.0, 1.0, 5, 1 - share_that_waits - 1e-6) == 0.0
    assert mmc_wait_quantile_s(1.0, 1.0, 5, 1 - share_that_waits + 1e-3) > 0.0


@given(st.floats(0.1, 50), st.floats(0.01, 2), st.floats(0, 5), st.floats(0.5, 0.999))
def test_servers_for_are_enough_and_not_one_too_many(rate, service, wait, share):
    servers = servers_for(rate, service, wait, share)
    assert mmc_wait_quantile_s(rate, service, servers, share) <= wait
    if servers > 1:
        assert mmc_wait_quantile_s(rate, service, servers - 1, share) > wait


def test_overload_waits_for_ever():
    assert erlang_c(5, 3) == 1.0
    assert mmc_wait_s(5, 1, 3) == math.inf
    assert mmc_wait_quantile_s(5, 1, 3, 0.5) == math.inf


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: erlang_b(-1, 2),
        lambda: erlang_c(math.inf, 2),
        lambda: erlang_b(1, 0),
        lambda: mmc_wait_quantile_s(1, 0.5, 1, 1.0),
        lambda: servers_for(1, 1, -1, 0.9),
    ],
)
def test_what_is_no_queue_is_refused(wrong):
    with pytest.raises(UsageError):
        wrong()
