import pytest
from trials import FAILED, of_latencies, record, trial

from pilotage.prove.analysis.costs import costs
from pilotage.prove.analysis.measures import measures
from pilotage.prove.result import Costs, Measures


@pytest.fixture
def busy() -> Measures:
    """10 requests a second for 10 s, each 100 tokens in and 20 out, in flight half the time."""
    records = [
        record(i, took=0.05, prompt_tokens=100, completion_tokens=20, sent_s=i / 10)
        for i in range(100)
    ]
    return measures(trial(records, due_s=10), slo={})


def test_an_hourly_price_is_shared_by_what_came_through(busy: Measures) -> None:
    found = costs(busy, usd_per_hour=3.6)  # 0.001 a second
    assert found.per_million_requests == pytest.approx(100)
    assert found.per_million_tokens == pytest.approx(1000 / 1200)
    assert found.per_million_output_tokens == pytest.approx(5)
    assert found.idle_share == pytest.approx(0.5)
    assert found.idle_basis == "share of the time without a request in flight"
    assert found.idle_usd_per_month == pytest.approx(0.5 * 3.6 * 730)


def test_capacity_that_is_known_says_what_is_idle(busy: Measures) -> None:
    found = costs(busy, usd_per_hour=1, capacity_rate=40)
    assert found.idle_share == pytest.approx(0.75)
    assert found.idle_basis == "10 of 40 requests a second that it can serve were used"
    assert costs(busy, usd_per_hour=1, capacity_rate=5).idle_share == 0


def test_prices_of_tokens(busy: Measures) -> None:
    found = costs(busy, usd_per_million_input_tokens=2, usd_per_million_output_tokens=10)
    assert found.per_million_requests == pytest.approx(400)
    assert found.per_million_tokens == pytest.approx(400 / 120)
    assert found.per_million_output_tokens == pytest.approx(20)
    assert (found.idle_share, found.idle_basis, found.idle_usd_per_month) == (None, None, None)


def test_both_kinds_of_price_add_up(busy: Measures) -> None:
    found = costs(
        busy, usd_per_hour=3.6, usd_per_million_input_tokens=2, usd_per_million_output_tokens=10
    )
    assert found.per_million_requests == pytest.approx(500)


def test_no_price_is_no_cost(busy: Measures) -> None:
    assert costs(busy) == Costs()
    half = costs(busy, usd_per_hour=1, usd_per_million_input_tokens=2)
    assert (half.per_million_requests, half.per_million_tokens) == (None, None)


def test_a_price_of_zero_is_a_price(busy: Measures) -> None:
    found = costs(busy, usd_per_million_input_tokens=0, usd_per_million_output_tokens=0)
    assert found.per_million_requests == 0


def test_nothing_answered_costs_no_finite_sum() -> None:
    for run in (of_latencies([FAILED] * 5), trial([], due_s=1)):
        found = costs(
            measures(run, slo={}),
            usd_per_hour=1,
            usd_per_million_input_tokens=1,
            usd_per_million_output_tokens=1,
        )
        assert found.per_million_requests is None
        assert found.per_million_tokens is None
        assert found.idle_share is not None


def test_without_token_counts_requests_still_have_an_hourly_cost() -> None:
    found = costs(measures(of_latencies([0.05] * 100), slo={}), usd_per_hour=3.6)
    assert found.per_million_requests == pytest.approx(100)
    assert (found.per_million_tokens, found.per_million_output_tokens) == (None, None)


def test_the_tokenizers_count_serves_where_the_server_gives_none() -> None:
    records = [record(i, took=0.05, expected_prompt_tokens=50) for i in range(10)]
    found = measures(trial(records), slo={}, tokenizer_counts=dict.fromkeys(range(10), 5))
    priced = costs(found, usd_per_million_input_tokens=2, usd_per_million_output_tokens=10)
    assert priced.per_million_requests == pytest.approx(150)
