"""What the tokens of a cascade's tiers cost a month."""

from __future__ import annotations

from pilotage.catalog.prices import PriceBook, bedrock_models
from pilotage.errors import UsageError
from pilotage.plan.cost import Charge, Operation
from pilotage.plan.cost.metered import token_charges
from pilotage.plan.demand import Demand
from pilotage.route.prices.bedrock_ids import price_ids
from pilotage.spec import Deployment


def tier_charges(
    deployment: Deployment,
    demand: Demand,
    prices: PriceBook,
    *,
    every: bool,
    bedrock: str | None = None,
) -> tuple[Charge, ...]:
    """Tokens of the first tier, or of every one, as if each request asked it.

    Tiers that are no model of Bedrock are paid where they run, and have no line here.

    Args:
        deployment: The spec; its routing names the tiers.
        demand: What is asked.
        prices: Of the region.
        every: Whether every request asks every tier: the most that it can cost.
        bedrock: Bedrock's id of the model, where the spec has no routing.

    Raises:
        UnknownPriceError: A model's price is not known.
        UsageError: Nothing names a model of Bedrock.
    """
    named: list[tuple[str, str | None]] = []
    if deployment.routing is not None:
        for tier in deployment.routing.tiers:
            model = next((one.model for one in tier.backends if one.kind == "bedrock"), None)
            named.append((tier.name, model))
    elif bedrock is not None:
        named.append((deployment.name, bedrock))
    else:
        raise UsageError(
            "nothing names a model of Bedrock",
            where="routing.tiers",
            hint="Add a tier with a backend of kind bedrock",
        )
    if not demand.rate:
        return ()
    found: list[Charge] = []
    for tier_name, model in named if every else named[:1]:
        if model is None:
            continue
        operation = Operation(bedrock_id=_known(model, prices))
        for one in token_charges(demand, operation, prices):
            found.append(
                Charge(
                    name=f"{tier_name}: {one.name}",
                    usd=one.usd,
                    formula=one.formula,
                    source=one.source,
                    capacity=one.capacity,
                )
            )
    return tuple(found)


def _known(model: str, prices: PriceBook) -> str:
    """The id under which a price is known; the model's own where none is, for the error."""
    for one in price_ids(model, bedrock_models()):
        if prices.find(f"bedrock/{one}:input") is not None:
            return one
    return model
