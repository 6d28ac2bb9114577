"""Documents of the Price List API."""

from __future__ import annotations

import json
from decimal import Decimal

from aws_stand_in import instance, product
from hypothesis import given
from hypothesis import strategies as st

from pilotage.catalog.prices.price_list import hosting_prices, instance_prices, service_price


def test_an_instance_has_prices_on_demand_and_for_a_year() -> None:
    document = product(instance("g5.2xlarge"), usd="1.2120000000", year="0.7640000000")
    assert dict(instance_prices(document)) == {
        "g5.2xlarge": Decimal("1.212"),
        "g5.2xlarge:one-year": Decimal("0.764"),
    }


def test_other_systems_and_tenancies_are_left_out() -> None:
    for more in ({"operatingSystem": "Windows"}, {"tenancy": "Dedicated"}):
        assert not list(instance_prices(product(instance("g5.2xlarge", **more), usd="2")))


def test_a_zero_is_no_price() -> None:
    assert not list(instance_prices(product(instance("g5.2xlarge"), usd="0.0000000000")))


def test_hosting_is_told_from_training_in_both_forms() -> None:
    new = {"instanceName": "ml.g5.2xlarge", "component": "Hosting"}
    old = {"instanceType": "ml.g5.2xlarge-Hosting"}
    for attributes in (new, old):
        found = dict(hosting_prices(product(attributes, usd="1.515")))
        assert found == {"ml.g5.2xlarge": Decimal("1.515")}
    for attributes in (
        {**new, "component": "Training"},
        {"instanceType": "ml.g5.2xlarge-Training"},
    ):
        assert not list(hosting_prices(product(attributes, usd="1.515")))


def test_a_service_is_found_by_its_usage_type_behind_any_region() -> None:
    for usage in ("NatGateway-Hours", "EU-NatGateway-Hours"):
        document = product({"usagetype": usage}, usd="0.048")
        assert service_price(document, "NatGateway-Hours") == Decimal("0.048")
    document = product({"usagetype": "EU-NatGateway-Prvd-Hours"}, usd="0.1")
    assert service_price(document, "NatGateway-Hours") is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "product",
                    "attributes",
                    "terms",
                    "OnDemand",
                    "Reserved",
                    "priceDimensions",
                    "unit",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(_JSON.map(json.dumps) | st.text(max_size=30))
def test_a_document_of_another_form_has_no_price(document: str) -> None:
    assert list(instance_prices(document)) == []
    assert list(hosting_prices(document)) == []
    assert service_price(document, "Request") is None
