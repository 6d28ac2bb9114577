"""What AWS's Price List API says of a product, as prices of ours.

A product is a JSON document (Pricing API reference, GetProducts)::

    {"product": {"attributes": {"instanceType": "g5.2xlarge", "tenancy": "Shared", …}},
     "terms": {"OnDemand": {"…": {"priceDimensions": {"…": {
                  "unit": "Hrs", "beginRange": "0", "pricePerUnit": {"USD": "1.2120000000"}}}}},
               "Reserved": {"…": {"termAttributes": {"LeaseContractLength": "1yr", …}, …}}}}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Query:
    """A GetProducts call: a service and the values its products must have."""

    service: str
    filters: Mapping[str, str]


INSTANCES: Final = Query(
    "AmazonEC2",
    MappingProxyType(
        {
            "operatingSystem": "Linux",
            "tenancy": "Shared",
            "preInstalledSw": "NA",
            "capacitystatus": "Used",
        }
    ),
)
"""Shared Linux instances without licences."""

HOSTING: Final = Query("AmazonSageMaker", MappingProxyType({"productFamily": "ML Instance"}))

_ONE_YEAR: Final = MappingProxyType(
    {
        "LeaseContractLength": "1yr",
        "OfferingClass": "standard",
        "PurchaseOption": "No Upfront",
    }
)


@dataclass(frozen=True, slots=True)
class ServiceQuery:
    """Where the price of a service is: the product whose usage type ends so."""

    query: Query
    usage: str


def _service(service: str, usage: str, **filters: str) -> ServiceQuery:
    return ServiceQuery(Query(service, MappingProxyType(filters)), usage)


SERVICES: Final[Mapping[str, ServiceQuery]] = MappingProxyType(
    {
        "alb:hour": _service(
            "AWSELB", "LoadBalancerUsage", productFamily="Load Balancer-Application"
        ),
        "alb:lcu-hour": _service("AWSELB", "LCUUsage", productFamily="Load Balancer-Application"),
        "ebs:gp3-gb-month": _service(
            "AmazonEC2", "EBS:VolumeUsage.gp3", productFamily="Storage", volumeApiName="gp3"
        ),
        "ecr:gb-month": _service("AmazonECR", "TimedStorage-ByteHrs"),
        "s3:gb-month": _service("AmazonS3", "TimedStorage-ByteHrs", volumeType="Standard"),
        "nat:hour": _service("AmazonEC2", "NatGateway-Hours", productFamily="NAT Gateway"),
        "nat:gb": _service("AmazonEC2", "NatGateway-Bytes", productFamily="NAT Gateway"),
        "lambda:gb-second": _service("AWSLambda", "Lambda-GB-Second", group="AWS-Lambda-Duration"),
        "lambda:request": _service("AWSLambda", "Request", group="AWS-Lambda-Requests"),
    }
)
"""Services by the names of `pilotage.catalog.prices.price`. What AWS's list does not have under
these names stays unknown, and the user gives it: data out of a region is listed by pairs of
places and is not looked up."""


def instance_prices(document: str) -> Iterator[tuple[str, Decimal]]:
    """Names and US dollars an hour of an EC2 product: on demand, and a year without upfront."""
    product, terms = _read(document)
    name = product.get("instanceType")
    wanted = all(product.get(key, value) == value for key, value in INSTANCES.filters.items())
    if not isinstance(name, str) or not wanted:
        return
    if (amount := _highest(terms.get("OnDemand"), "Hrs")) is not None:
        yield name, amount
    reserved = {
        key: offer
        for key, offer in _mapping(terms.get("Reserved")).items()
        if _mapping(_mapping(offer).get("termAttributes")).items() >= _ONE_YEAR.items()
    }
    if (amount := _highest(reserved, "Hrs")) is not None:
        yield f"{name}:one-year", amount


def hosting_prices(document: str) -> Iterator[tuple[str, Decimal]]:
    """Name and US dollars an hour of a SageMaker product, if it is for hosting.

    Older documents have the component behind the type, ``ml.g5.2xlarge-Hosting``.
    """
    product, terms = _read(document)
    name, _, suffix = str(product.get("instanceName") or product.get("instanceType")).partition("-")
    component = str(product.get("component") or suffix)
    amount = _highest(terms.get("OnDemand"), "Hrs")
    if component == "Hosting" and name.startswith("ml.") and amount is not None:
        yield name, amount


def service_price(document: str, usage: str) -> Decimal | None:
    """US dollars a unit of the first paid tier, if the product's usage type ends with ``usage``.

    In front of it stands the region's code: "EU-NatGateway-Hours", or nothing in us-east-1.
    """
    product, terms = _read(document)
    found = str(product.get("usagetype", ""))
    if found != usage and not found.endswith(f"-{usage}"):
        return None
    return _highest(terms.get("OnDemand"), None)


def _read(document: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    try:
        data = json.loads(document)
    except (ValueError, RecursionError):
        return {}, {}
    product = _mapping(_mapping(data).get("product"))
    return _mapping(product.get("attributes")), _mapping(_mapping(data).get("terms"))


def _highest(offers: object, unit: str | None) -> Decimal | None:
    """The highest price of all tiers: the first that is not free. None without one."""
    amounts = [
        amount
        for offer in _mapping(offers).values()
        for dimension in _mapping(_mapping(offer).get("priceDimensions")).values()
        if unit is None or _mapping(dimension).get("unit") == unit
        if (amount := _usd(_mapping(dimension))) is not None
    ]
    return max(amounts, default=None)


def _usd(dimension: Mapping[str, Any]) -> Decimal | None:
    try:
        amount = Decimal(str(_mapping(dimension.get("pricePerUnit")).get("USD")))
    except InvalidOperation:
        return None
    # Free tiers and upfront payments that are not asked for stand there as 0: no price of ours.
    return amount if amount.is_finite() and amount > 0 else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
