"""The cost of a month: its terms, and what money must never do."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.catalog.prices import PriceBook, UnknownPriceError, load_price_book
from pilotage.errors import UsageError
from pilotage.plan.cost import Operation, cost_of, mean_tokens, monthly_charges, requests_a_month
from pilotage.plan.demand import Demand, Lengths
from pilotage.plan.option import Configuration, Cost

LLAMA = "meta.llama3-1-8b-instruct-v1:0"
DEMAND = Demand(
    rate=20,
    peak=80,
    shape="spiky",
    prompt=Lengths(p50=180, p99=900),
    completion=Lengths(p50=60, p99=128),
)
ECS = Configuration(strategy="ecs-gpu", instance_type="g6e.2xlarge", count=2)
PLAIN = Operation(clients_outside=False)


def _book(*given: str) -> PriceBook:
    return load_price_book(given=given)


def _terms(cost: Cost) -> dict[str, float]:
    return {term.name: term.value for term in cost.monthly.terms}


def test_instances_around_the_clock() -> None:
    cost = cost_of(ECS, DEMAND, _book(), PLAIN)
    assert _terms(cost)["instances"] == pytest.approx(2 * 730 * 2.24208)
    term = cost.monthly.terms[0]
    assert term.formula == "1,460 h x 2.24208 USD/h"
    assert term.source.endswith("us-east-1, 2026-07-20")
    assert term.unit == "USD/month"


def test_autoscaled_hours_replace_the_clock() -> None:
    cost = cost_of(ECS, DEMAND, _book(), replace(PLAIN, instance_hours=1000))
    assert _terms(cost)["instances"] == pytest.approx(1000 * 2.24208)


def test_idle_capacity_is_its_unused_share() -> None:
    cost = cost_of(ECS, DEMAND, _book(), replace(PLAIN, utilisation=0.25))
    assert cost.idle_usd == pytest.approx(0.75 * _terms(cost)["instances"])
    assert cost_of(ECS, DEMAND, _book(), PLAIN).idle_usd == 0


def test_spot_pays_for_its_replacements() -> None:
    operation = replace(PLAIN, market="spot", start_s=360, interruptions_per_hour=0.05)
    terms = _terms(cost_of(ECS, DEMAND, _book("g6e.2xlarge:spot=0.9"), operation))
    assert terms["spot instances"] == pytest.approx(1460 * 0.9)
    assert terms["spot replacements"] == pytest.approx(1460 * 0.05 * 0.1 * 0.9)


def test_a_commitment_is_paid_whether_used_or_not() -> None:
    book = _book("g6e.2xlarge:one-year=1.5")
    operation = replace(PLAIN, market="one-year", instance_hours=100)
    assert _terms(cost_of(ECS, DEMAND, book, operation))["committed instances"] == 1460 * 1.5
    more = replace(operation, instance_hours=1500)
    terms = _terms(cost_of(ECS, DEMAND, book, more))
    assert terms["instances on demand"] == pytest.approx(40 * 2.24208)


@pytest.mark.parametrize("market", ["spot", "one-year"])
def test_an_unknown_market_price_is_an_error(market: Any) -> None:
    with pytest.raises(UnknownPriceError, match=f"g6e.2xlarge:{market}"):
        cost_of(ECS, DEMAND, _book(), Operation(market=market))


def test_storage_distribution_and_the_balancer_are_terms() -> None:
    operation = Operation(weights_bytes=20 << 30, image_bytes=10 << 30, starts=60, through_nat=True)
    terms = _terms(cost_of(ECS, DEMAND, _book(), operation))
    assert terms["weights in S3"] == pytest.approx(20 * 0.023)
    assert terms["image in ECR"] == pytest.approx(10 * 0.10)
    assert terms["volumes"] == pytest.approx(2 * (30 + 25 + 20) * 0.08)
    assert terms["distribution"] == pytest.approx(60 * 30 * 0.045)
    assert terms["NAT gateway"] == pytest.approx(730 * 0.045)
    assert terms["load balancer"] == pytest.approx(730 * 0.0225)


def test_gateway_endpoints_carry_image_and_weights_for_nothing() -> None:
    terms = _terms(cost_of(ECS, DEMAND, _book(), Operation(weights_bytes=20 << 30, starts=60)))
    assert "distribution" not in terms


def test_capacity_units_are_connections_or_bytes_whichever_is_more() -> None:
    few = Operation(request_bytes=0, response_bytes=0)
    terms = _terms(cost_of(ECS, DEMAND, _book(), few))
    assert terms["load balancer capacity"] == pytest.approx(730 * 20 / 25 * 0.008)
    many = Operation(request_bytes=1 << 20, response_bytes=0)
    terms = _terms(cost_of(ECS, DEMAND, _book(), many))
    assert terms["load balancer capacity"] == pytest.approx(730 * 20 * 3600 / 1024 * 0.008)


def test_answers_that_leave_aws_are_paid() -> None:
    operation = Operation(response_bytes=1 << 20)
    terms = _terms(cost_of(ECS, DEMAND, _book(), operation))
    assert terms["data out"] == pytest.approx(requests_a_month(DEMAND) / 1024 * 0.09)
    inside = replace(operation, clients_outside=False)
    assert _terms(cost_of(ECS, DEMAND, _book(), inside))["data out"] == 0


def test_bedrock_is_paid_by_the_mean_of_the_lengths() -> None:
    configuration = Configuration(strategy="bedrock-on-demand")
    cost = cost_of(configuration, DEMAND, _book(), Operation(bedrock_id=LLAMA))
    tokens = mean_tokens(DEMAND.prompt) + mean_tokens(DEMAND.completion)
    # Prompt and completion cost the same: so does their mean.
    assert cost.usd_per_million_tokens == pytest.approx(0.22)
    assert cost.usd_per_request == pytest.approx(tokens * 0.22e-6)
    assert cost.usd_per_month == pytest.approx(tokens * 0.22e-6 * 20 * 730 * 3600)
    assert cost.idle_usd == 0


def test_cached_prompt_tokens_cost_less_where_there_is_a_cache() -> None:
    configuration = Configuration(strategy="bedrock-on-demand")
    operation = Operation(bedrock_id="amazon.nova-micro-v1:0", cached_share=0.5)
    terms = _terms(cost_of(configuration, DEMAND, _book(), operation))
    assert terms["cached prompt tokens"] == pytest.approx(terms["prompt tokens"] / 4)
    without = replace(operation, bedrock_id=LLAMA)
    assert "cached prompt tokens" not in _terms(cost_of(configuration, DEMAND, _book(), without))


def test_images_are_tokens_or_have_a_price_or_are_an_error() -> None:
    configuration = Configuration(strategy="bedrock-on-demand")
    model = "meta.llama3-2-11b-instruct-v1:0"
    seen = replace(DEMAND, images=2, image_width=512, image_height=512)
    with pytest.raises(UnknownPriceError, match="what an image costs"):
        cost_of(configuration, seen, _book(), Operation(bedrock_id=model))
    terms = _terms(
        cost_of(configuration, seen, _book(), Operation(bedrock_id=model, image_tokens=1600))
    )
    tokens = mean_tokens(DEMAND.prompt) + 1600
    assert terms["prompt tokens"] == pytest.approx(requests_a_month(seen) * tokens * 0.16e-6)
    book = _book(f"bedrock/{model}:image=0.001")
    terms = _terms(cost_of(configuration, seen, book, Operation(bedrock_id=model)))
    assert terms["images"] == pytest.approx(requests_a_month(seen) * 2 * 0.001)


def test_lambda_is_paid_by_the_second_that_it_waits() -> None:
    configuration = Configuration(strategy="lambda-bedrock")
    operation = Operation(bedrock_id=LLAMA, mean_e2e_s=1.5, function_gb=0.5)
    terms = _terms(cost_of(configuration, DEMAND, _book(), operation))
    requests = requests_a_month(DEMAND)
    assert terms["Lambda requests"] == pytest.approx(requests * 0.2e-6)
    assert terms["Lambda seconds"] == pytest.approx(requests * 0.75 * 0.0000166667)


def test_a_promise_bounds_the_seconds_and_without_any_there_is_no_bill() -> None:
    configuration = Configuration(strategy="lambda-bedrock")
    operation = Operation(bedrock_id=LLAMA)
    with pytest.raises(UnknownPriceError, match="how long a request takes is not known"):
        cost_of(configuration, DEMAND, _book(), operation)
    promised = replace(DEMAND, e2e_p99=3.0)
    terms = _terms(cost_of(configuration, promised, _book(), operation))
    assert terms["Lambda seconds"] == pytest.approx(requests_a_month(DEMAND) * 1.5 * 0.0000166667)


def test_sagemaker_needs_a_price_or_the_leave_to_estimate() -> None:
    configuration = Configuration(strategy="sagemaker-realtime", instance_type="ml.g5.2xlarge")
    with pytest.raises(UnknownPriceError, match=r"--assume sagemaker\.estimate=yes"):
        cost_of(configuration, DEMAND, _book(), PLAIN)
    given = cost_of(configuration, DEMAND, _book("ml.g5.2xlarge=1.515"), PLAIN)
    assert _terms(given)["instances"] == pytest.approx(730 * 1.515)
    estimated = cost_of(configuration, DEMAND, _book(), replace(PLAIN, estimate_sagemaker=True))
    assert _terms(estimated)["instances"] == pytest.approx(730 * 1.212 * 1.40)
    assert "the range begins at 1.515 USD/h" in estimated.monthly.terms[0].source


def test_sagemaker_volumes_are_paid_where_the_instance_has_no_disks() -> None:
    book = _book("ml.g5.2xlarge=1", "ml.inf2.xlarge=1")
    names = {
        kind: _terms(
            cost_of(
                Configuration(strategy="sagemaker-async", instance_type=kind), DEMAND, book, PLAIN
            )
        )
        for kind in ("ml.g5.2xlarge", "ml.inf2.xlarge")
    }
    assert "volumes" not in names["ml.g5.2xlarge"]
    assert names["ml.inf2.xlarge"]["volumes"] > 0


def test_serverless_is_paid_by_memory_and_time() -> None:
    configuration = Configuration(strategy="sagemaker-serverless")
    operation = replace(PLAIN, mean_e2e_s=2.0, function_gb=6)
    terms = _terms(cost_of(configuration, DEMAND, _book(), operation))
    assert terms["serverless seconds"] == pytest.approx(requests_a_month(DEMAND) * 12 * 0.00002)


def test_model_units_have_the_users_price_only() -> None:
    configuration = Configuration(strategy="bedrock-provisioned", count=2)
    operation = Operation(bedrock_id=LLAMA, utilisation=0.5)
    with pytest.raises(UnknownPriceError, match=":model-unit=AMOUNT"):
        cost_of(configuration, DEMAND, _book(), operation)
    cost = cost_of(configuration, DEMAND, _book(f"bedrock/{LLAMA}:model-unit=20"), operation)
    assert (cost.usd_per_month, cost.idle_usd) == (2 * 730 * 20, 730 * 20)


def test_a_machine_of_ones_own_costs_what_one_says() -> None:
    configuration = Configuration(strategy="machine")
    with pytest.raises(UnknownPriceError, match="machine:hour"):
        cost_of(configuration, DEMAND, _book())
    assert cost_of(configuration, DEMAND, _book("machine:hour=0.3")).usd_per_month == 219


def test_one_machine_needs_no_balancer() -> None:
    one = Configuration(strategy="machine", instance_type="g5.xlarge")
    assert "load balancer" not in _terms(cost_of(one, DEMAND, _book()))


def test_the_mean_of_a_log_normal() -> None:
    assert mean_tokens(Lengths(p50=100, p99=100)) == 100
    sigma = math.log(5) / 2.3263478740408408
    assert mean_tokens(Lengths(p50=180, p99=900)) == pytest.approx(180 * math.exp(sigma**2 / 2))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("utilisation", 1.5),
        ("cached_share", -0.1),
        ("instance_hours", -1),
        ("weights_bytes", -1),
        ("start_s", math.inf),
        ("mean_e2e_s", math.nan),
    ],
)
def test_impossible_operations_are_refused(field: str, value: float) -> None:
    fields: dict[str, Any] = {field: value}
    with pytest.raises(UsageError, match="should be"):
        Operation(**fields)


def test_strategies_that_need_an_id_or_a_type_say_so() -> None:
    for strategy in ("bedrock-on-demand", "bedrock-provisioned", "sagemaker-async"):
        with pytest.raises(UsageError, match=r"needs|need"):
            cost_of(Configuration(strategy=strategy), DEMAND, _book())


# Money, whatever the numbers.

_AMOUNTS = st.floats(min_value=0, max_value=1e4, allow_nan=False)
_DEMANDS = st.builds(
    lambda rate, prompt, completion: replace(
        DEMAND,
        rate=rate,
        peak=rate,
        prompt=Lengths(p50=prompt, p99=prompt * 3),
        completion=Lengths(p50=completion, p99=completion * 2),
        e2e_p99=5.0,
    ),
    st.floats(min_value=1e-4, max_value=5000),
    st.integers(1, 100_000),
    st.integers(1, 10_000),
)
_OPERATIONS = st.builds(
    Operation,
    utilisation=st.floats(min_value=0, max_value=1),
    instance_hours=st.none() | _AMOUNTS,
    market=st.sampled_from(["on-demand", "spot", "one-year"]),
    starts=st.none() | _AMOUNTS,
    start_s=_AMOUNTS,
    interruptions_per_hour=st.floats(min_value=0, max_value=10),
    weights_bytes=st.integers(0, 1 << 42),
    image_bytes=st.integers(0, 1 << 36),
    through_nat=st.booleans(),
    clients_outside=st.booleans(),
    cached_share=st.floats(min_value=0, max_value=1),
    bedrock_id=st.just(LLAMA),
    estimate_sagemaker=st.just(True),
)
_CONFIGURATIONS = st.builds(
    Configuration,
    strategy=st.sampled_from(
        [
            "machine",
            "ecs-gpu",
            "ecs-neuron",
            "sagemaker-realtime",
            "sagemaker-async",
            "sagemaker-serverless",
            "bedrock-on-demand",
            "bedrock-provisioned",
            "lambda-bedrock",
        ]
    ),
    instance_type=st.just("inf2.xlarge"),
    count=st.integers(1, 1000),
)
FULL = load_price_book(
    given=["inf2.xlarge:spot=0.3", "inf2.xlarge:one-year=0.5", f"bedrock/{LLAMA}:model-unit=20.5"]
)


@given(_CONFIGURATIONS, _DEMANDS, _OPERATIONS)
def test_costs_are_never_negative_and_idle_is_a_part(
    configuration: Configuration, demand: Demand, operation: Operation
) -> None:
    cost = cost_of(configuration, demand, FULL, operation)
    assert all(term.value >= 0 for term in cost.monthly.terms)
    assert 0 <= cost.idle_usd <= cost.usd_per_month * (1 + 1e-12)
    assert cost.usd_per_request >= 0
    assert cost.usd_per_month == pytest.approx(cost.usd_per_request * requests_a_month(demand))


@given(_CONFIGURATIONS, _DEMANDS, _OPERATIONS, st.integers(1, 50))
def test_costs_never_fall_with_the_count(
    configuration: Configuration, demand: Demand, operation: Operation, more: int
) -> None:
    around = replace(operation, instance_hours=None)
    larger = replace(configuration, count=configuration.count + more)
    assert (
        cost_of(configuration, demand, FULL, around).usd_per_month
        <= cost_of(larger, demand, FULL, around).usd_per_month
    )


@given(_DEMANDS, _OPERATIONS, st.floats(min_value=1, max_value=100))
def test_costs_of_use_never_fall_with_the_rate(
    demand: Demand, operation: Operation, times: float
) -> None:
    busier = replace(demand, rate=demand.rate * times, peak=demand.peak * times)
    for strategy in ("bedrock-on-demand", "lambda-bedrock"):
        configuration = Configuration(strategy=strategy)
        quiet = cost_of(configuration, demand, FULL, operation).usd_per_month
        assert quiet <= cost_of(configuration, busier, FULL, operation).usd_per_month * (1 + 1e-9)


@given(_DEMANDS, _OPERATIONS, st.integers(1, 500), st.integers(1, 500))
def test_instances_add_up_exactly(
    demand: Demand, operation: Operation, first: int, second: int
) -> None:
    around = replace(operation, instance_hours=None)

    def paid(count: int) -> Decimal:
        configuration = Configuration(strategy="machine", instance_type="inf2.xlarge", count=count)
        charges = monthly_charges(configuration, demand, FULL, around)
        return sum((one.usd for one in charges if one.capacity), Decimal(0))

    with localcontext(prec=120):
        assert paid(first) + paid(second) == paid(first + second)


def test_ten_cents_three_hundred_times_are_thirty_dollars_exactly() -> None:
    book = _book("machine:hour=0.1")
    operation = Operation(instance_hours=300)
    (charge,) = monthly_charges(Configuration(strategy="machine"), DEMAND, book, operation)
    assert charge.usd == Decimal(30)
