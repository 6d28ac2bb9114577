"""What a shipment costs: exact, term by term, and never with a price that nobody knows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import ship_plans

from pilotage.catalog.prices import PriceBook, UnknownPriceError, load_price_book
from pilotage.errors import UsageError
from pilotage.ship.cost import Total, monthly_cost
from pilotage.ship.sizing_of import prepare
from pilotage.spec import Deployment, parse

_WORKLOAD = {"arrivals": {"rate": "5/s", "peak": "20/s"}}
_CASCADE = """
name: receipts
workload:
  arrivals: {rate: 1/s}
  prompt_tokens: {p50: 100, p99: 100}
  completion_tokens: {p50: 10, p99: 10}
slo: {e2e_p99: 2s}
routing:
  tiers:
    - {name: small, backends: [{kind: bedrock, model: amazon.small}]}
    - {name: large, backends: [{kind: bedrock, model: amazon.large}]}
  policy: static
  tier: small
"""


def book(*given: str) -> PriceBook:
    """The built-in prices, and some by hand."""
    return load_price_book(given=given)


def lines(total: Total) -> dict[str, Decimal]:
    """The bill at the start by its lines' names."""
    return {one.name: one.usd for one in total.desired.charges}


def test_ecs_term_by_term() -> None:
    shipment = ship_plans.shipment()
    total = monthly_cost(shipment, book("g5.2xlarge=1.212", "nat:hour=0.045"))
    found = lines(total)
    assert found["instances"] == 2 * 730 * Decimal("1.212")
    assert found["NAT gateway"] == 730 * Decimal("0.045")
    # The root volume only: weights lie on the NVMe of a g5.
    assert found["volumes"] == 2 * shipment.sizing.root_gib * Decimal("0.08")
    assert set(found) > {"load balancer", "load balancer capacity", "logs", "data out"}
    assert total.desired.usd == sum(found.values())
    assert total.desired.instances == 2


def test_desired_least_and_most() -> None:
    shipment = ship_plans.shipment(scaling={"min": 1, "max": 6})
    total = monthly_cost(shipment, book())
    assert (total.least.replicas, total.desired.replicas, total.most.replicas) == (1, 2, 6)
    assert total.least.usd < total.desired.usd < total.most.usd
    hour = Decimal("1.212") * 730
    of_instances = [
        next(one.usd for one in bill.charges if one.name == "instances")
        for bill in (total.least, total.desired, total.most)
    ]
    assert of_instances == [hour, 2 * hour, 6 * hour]


def test_spot_share_rounds_on_demand_up() -> None:
    shipment = ship_plans.shipment(
        scaling={"min": 6, "max": 6, "spot_share": 0.5, "on_demand_base": 1}
    )
    total = monthly_cost(shipment, book("g5.2xlarge:spot=0.5"))
    found = lines(total)
    # One of the base, half of the five others: three on demand, rounded up, two on spot.
    assert found["instances"] == 4 * 730 * Decimal("1.212")
    assert found["spot instances"] == 2 * 730 * Decimal("0.5")
    assert "spot replacements" in found


def test_a_given_network_has_no_nat_gateway() -> None:
    network = {"vpc_id": "vpc-12345678", "subnets": ["subnet-1", "subnet-2"]}
    found = lines(monthly_cost(ship_plans.shipment(network=network), book()))
    assert "NAT gateway" not in found


def test_weights_of_a_bucket_are_stored_and_not_fetched_through_nat() -> None:
    shipment = ship_plans.shipment(weights_uri="s3://weights/llama")
    found = lines(monthly_cost(shipment, book()))
    assert "weights through NAT" not in found
    assert found["weights in S3"] > 0


@pytest.mark.parametrize(
    ("shipping", "name"),
    [({"scaling": {"spot_share": 1.0, "max": 4}}, "g5.2xlarge:spot")],
)
def test_an_unknown_price_is_asked_for(shipping: dict[str, Any], name: str) -> None:
    with pytest.raises(UnknownPriceError) as caught:
        monthly_cost(ship_plans.shipment(**shipping), book())
    assert caught.value.name == name
    assert f"--price {name}=" in str(caught.value)


def test_sagemaker() -> None:
    shipment = prepare(
        ship_plans.spec(workload=_WORKLOAD), ship_plans.plan(strategy="sagemaker-realtime")
    )
    with pytest.raises(UnknownPriceError, match=r"ml\.g5\.2xlarge"):
        monthly_cost(shipment, book())
    found = lines(monthly_cost(shipment, book("ml.g5.2xlarge=1.515")))
    assert found["instances"] == 2 * 730 * Decimal("1.515")
    assert "load balancer" not in found
    estimated = lines(monthly_cost(shipment, book(), estimate_sagemaker=True))
    assert estimated["instances"] == 2 * 730 * Decimal("1.212") * Decimal("1.40")


def test_model_units() -> None:
    shipment = prepare(
        ship_plans.spec("hf://meta-llama/Llama-3.1-8B-Instruct"),
        ship_plans.plan(None, strategy="bedrock-provisioned", engine=None, count=3),
    )
    name = "bedrock/meta.llama3-1-8b-instruct-v1:0:model-unit"
    total = monthly_cost(shipment, book(f"{name}=24"))
    assert total.desired.usd == 3 * 730 * 24


def test_a_cascade_lies_between_its_first_tier_and_all() -> None:
    spec = parse(_CASCADE, "spec.yaml")
    assert isinstance(spec, Deployment)
    shipment = prepare(spec, None, target="lambda-bedrock")
    prices = book(
        *(
            f"bedrock/amazon.{size}:{end}={usd}"
            for size, usd in (("small", 1), ("large", 10))
            for end in ("input", "output")
        )
    )
    total = monthly_cost(shipment, prices)
    seconds = 730 * 3600
    small = Decimal(seconds * 110) / 1_000_000
    by_name = {one.name: one.usd for one in total.most.charges}
    tokens = [usd for name, usd in by_name.items() if "tokens" in name]
    assert sum(usd for name, usd in lines(total).items() if "tokens" in name) == small
    assert sum(tokens) == 11 * small
    assert "logs" in by_name


def test_here_is_free() -> None:
    shipment = prepare(Deployment(), None, target="local")
    total = monthly_cost(shipment, book())
    assert (total.least.usd, total.desired.usd, total.most.usd) == (0, 0, 0)


def test_prices_of_another_region_are_refused() -> None:
    with pytest.raises(UsageError, match="us-east-1 say nothing of eu-west-1"):
        monthly_cost(ship_plans.shipment(region="eu-west-1"), book())
