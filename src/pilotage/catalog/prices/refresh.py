"""`pilotage catalog refresh`: the user's own prices, from AWS.

Three calls: the Price List API (instances on demand and for a year, SageMaker hosting, services),
the instance types that the region has, and the spot prices of this hour.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from pilotage.catalog.instances import load_instances
from pilotage.catalog.prices.aws import aws_errors, open_client, open_session
from pilotage.catalog.prices.book import BUILT_IN_REGION
from pilotage.catalog.prices.price import Price, parse_amount, unit_of
from pilotage.catalog.prices.price_list import (
    HOSTING,
    INSTANCES,
    SERVICES,
    Query,
    hosting_prices,
    instance_prices,
    service_price,
)
from pilotage.catalog.prices.stored import StoredBook, checked_region
from pilotage.errors import PilotageError, UsageError

PRICING_REGION: Final = "us-east-1"
"""Where the Price List API answers for all regions (Pricing API reference, endpoints)."""

_LIST: Final = "AWS Price List API"
_SPOT: Final = "EC2 spot price history, median of the zones"
_PAGES: Final = 500


def fetch_prices(region: str | None = None, profile: str | None = None) -> StoredBook:
    """Ask AWS for everything that the price book of a region can hold.

    Only instance types of the catalog are kept. A spot price is the median over the region's
    zones of their newest price: a fleet spreads over them.

    Args:
        region: AWS's name of it; that of the profile or the environment if None, or us-east-1.
        profile: Of the AWS configuration; the default one if None.

    Raises:
        UsageError: boto3, the profile, credentials or permissions are missing.
        PilotageError: AWS does not answer, or has no prices of this region.
    """
    session = open_session(profile)
    region = checked_region(region or session.region_name or BUILT_IN_REGION)
    pricing = open_client(session, "pricing", PRICING_REGION)
    ec2 = open_client(session, "ec2", region)
    today = datetime.now(UTC).date()
    listed = dict(_listed(pricing, region))
    if not listed:
        raise PilotageError(
            f"has no prices of {region}",
            where=_LIST,
            hint="Check the region's name; regions of China and GovCloud have price lists of "
            "their own",
        )
    offered = _offered(ec2)
    spot = _spot(ec2, offered)
    prices = {
        name: Price(amount=amount, unit=unit_of(name), source=source, date=today, region=region)
        for amounts, source in ((listed, _LIST), (spot, _SPOT))
        for name, amount in amounts.items()
    }
    return StoredBook(region=region, date=today, prices=prices, offered=frozenset(offered))


def _listed(pricing: Any, region: str) -> Iterator[tuple[str, Decimal]]:
    known = load_instances()
    for document in _products(pricing, INSTANCES, region):
        for name, amount in instance_prices(document):
            if name.partition(":")[0] in known:
                yield name, amount
    for document in _products(pricing, HOSTING, region):
        for name, amount in hosting_prices(document):
            if name.removeprefix("ml.") in known:
                yield name, amount
    for name, wanted in SERVICES.items():
        found = [
            price
            for document in _products(pricing, wanted.query, region)
            if (price := service_price(document, wanted.usage)) is not None
        ]
        if found:
            yield name, max(found)


def _products(pricing: Any, query: Query, region: str) -> Iterator[str]:
    filters = {**query.filters, "regionCode": region}
    request: dict[str, Any] = {
        "ServiceCode": query.service,
        "Filters": [
            {"Type": "TERM_MATCH", "Field": field, "Value": value}
            for field, value in filters.items()
        ],
        "FormatVersion": "aws_v1",
        "MaxResults": 100,
    }
    for _ in range(_PAGES):
        with aws_errors("Pricing"):
            page = pricing.get_products(**request)
        yield from page.get("PriceList", ())
        token = page.get("NextToken")
        if not token:
            return
        request["NextToken"] = token


def _offered(ec2: Any) -> list[str]:
    """Types of the catalog that the region has; DescribeInstanceTypes names those only."""
    # By a filter: a type given by name that the region does not have is an error.
    filters = [{"Name": "instance-type", "Values": sorted(load_instances())}]
    pages = ec2.get_paginator("describe_instance_types").paginate(Filters=filters)
    with aws_errors("EC2"):
        return [found["InstanceType"] for page in pages for found in page.get("InstanceTypes", ())]


def _spot(ec2: Any, offered: list[str]) -> Mapping[str, Decimal]:
    if not offered:
        return {}
    pages = ec2.get_paginator("describe_spot_price_history").paginate(
        InstanceTypes=offered,
        ProductDescriptions=["Linux/UNIX"],
        StartTime=datetime.now(UTC),
    )
    newest: dict[tuple[str, str], tuple[datetime, Decimal]] = {}
    with aws_errors("EC2"):
        for page in pages:
            for row in page.get("SpotPriceHistory", ()):
                _keep_newest(newest, row)
    by_type: dict[str, list[Decimal]] = {}
    for (name, _), (_, amount) in newest.items():
        by_type.setdefault(name, []).append(amount)
    return {f"{name}:spot": statistics.median(found) for name, found in by_type.items()}


def _keep_newest(
    newest: dict[tuple[str, str], tuple[datetime, Decimal]], row: Mapping[str, Any]
) -> None:
    name, zone = str(row.get("InstanceType")), str(row.get("AvailabilityZone"))
    at = row.get("Timestamp")
    try:
        amount = parse_amount(row.get("SpotPrice"), name)
    except UsageError:
        return
    known = newest.get((name, zone))
    if amount > 0 and isinstance(at, datetime) and (known is None or known[0] < at):
        newest[name, zone] = (at, amount)
