import heapq
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.plan.queueing import mg1_wait_s, mgc_wait_quantile_s, mgc_wait_s, mmc_wait_s


def test_textbook_values():
    # M/D/1 waits half as long as M/M/1.
    assert mg1_wait_s(0.8, 1.0, 1.0) == pytest.approx(4.0)
    assert mg1_wait_s(0.8, 1.0, 0.0) == pytest.approx(2.0)
    assert mg1_wait_s(1.0, 1.0, 0.0) == math.inf


@given(st.floats(0.05, 0.95), st.floats(0, 3))
def test_one_server_is_pollaczek_and_khinchines(rho, cv):
    assert mgc_wait_s(rho, 1.0, 1, cv) == pytest.approx(mg1_wait_s(rho, 1.0, cv))


@given(st.floats(0.05, 0.95), st.integers(1, 50))
def test_exponential_service_is_erlangs(rho, servers):
    assert mgc_wait_s(rho * servers, 1.0, servers, 1.0) == pytest.approx(
        mmc_wait_s(rho * servers, 1.0, servers)
    )


@given(st.floats(0.05, 0.95), st.integers(1, 50), st.floats(0, 3), st.floats(0, 3))
def test_more_variation_waits_longer(rho, servers, one, other):
    low, high = sorted((one, other))
    rate = rho * servers
    assert mgc_wait_s(rate, 1, servers, low) <= mgc_wait_s(rate, 1, servers, high) * (1 + 1e-9)


@pytest.mark.parametrize(("servers", "rho"), [(2, 0.7), (5, 0.8), (10, 0.9)])
@pytest.mark.parametrize("cv", [0.0, 0.5, 1.5])
def test_several_servers_agree_with_a_simulated_queue(servers, rho, cv):
    """Kiefer and Wolfowitz' recursion: each request goes to the server that is free first."""
    random = np.random.default_rng(5)
    count = 100_000
    gaps = random.exponential(1 / (rho * servers), count).tolist()
    service = (random.gamma(1 / cv**2, cv**2, count) if cv else np.ones(count)).tolist()
    free, now, waited = [0.0] * servers, 0.0, 0.0
    for gap, own in zip(gaps, service, strict=True):
        now += gap
        begin = max(now, free[0])
        waited += begin - now
        heapq.heapreplace(free, begin + own)
    assert mgc_wait_s(rho * servers, 1, servers, cv) == pytest.approx(waited / count, rel=0.15)


def test_quantiles_are_of_those_that_wait_and_of_those_that_do_not():
    assert mgc_wait_quantile_s(1, 1, 5, 0.5, 0.5) == 0
    assert mgc_wait_quantile_s(4, 1, 5, 0.5, 0.99) < mgc_wait_quantile_s(4, 1, 5, 2, 0.99)
    assert mgc_wait_quantile_s(6, 1, 5, 1, 0.5) == math.inf


@pytest.mark.parametrize(
    "wrong", [lambda: mg1_wait_s(1, 0, 1), lambda: mgc_wait_quantile_s(1, 0.5, 1, 1, 1)]
)
def test_what_is_no_queue_is_refused(wrong):
    with pytest.raises(UsageError):
        wrong()
