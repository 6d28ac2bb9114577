"""The cost of a deployment, term by term."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Final

from pilotage.catalog.prices import PriceBook
from pilotage.plan.cost.charges import Charge, as_sum, exact, total
from pilotage.plan.cost.instances import instance_charges, model_unit_charges, sagemaker_charges
from pilotage.plan.cost.metered import (
    lambda_charges,
    sagemaker_data,
    serverless_charges,
    token_charges,
)
from pilotage.plan.cost.operation import Operation
from pilotage.plan.cost.storage import distribution, stored, volumes
from pilotage.plan.cost.traffic import (
    data_out,
    load_balancer,
    mean_tokens,
    requests_a_month,
)
from pilotage.plan.demand import Demand
from pilotage.plan.option import Configuration, Cost

_EXACT_DIGITS: Final = 120
"""Six factors of 17 digits and a price are exact; decimals round at 28 by default."""


def cost_of(
    configuration: Configuration,
    demand: Demand,
    prices: PriceBook,
    operation: Operation | None = None,
) -> Cost:
    """What a month of 730 hours of this configuration costs under this demand.

    Money is exact until the end: prices are decimals, quantities enter as they are written, and
    only the result is rounded to floats. Idle money is the unused share of the charges for
    capacity, ``(1 - utilisation) * capacity``; tokens and function seconds are never idle.

    Args:
        configuration: What is deployed.
        demand: What is asked of it.
        prices: Of its region.
        operation: How it is run; all by default if None.

    Raises:
        UnknownPriceError: A price it needs is not known. It is never taken as zero.
    """
    how = operation or Operation()
    with localcontext(prec=_EXACT_DIGITS):
        charges = monthly_charges(configuration, demand, prices, how)
        month = total(charges)
        idle = total(one for one in charges if one.capacity) * (1 - exact(how.utilisation))
        requests = exact(requests_a_month(demand))
        tokens = exact(mean_tokens(demand.prompt)) + exact(mean_tokens(demand.completion))
        each = month / requests if requests else Decimal("inf")
        million = each / tokens * 1_000_000 if tokens else Decimal("inf")
        return Cost(
            monthly=as_sum(charges),
            usd_per_request=float(each),
            usd_per_million_tokens=float(million),
            idle_usd=float(idle),
        )


def monthly_charges(
    configuration: Configuration, demand: Demand, prices: PriceBook, operation: Operation
) -> tuple[Charge, ...]:
    """The lines of the bill; see `cost_of`."""
    match configuration.strategy:
        case "machine" | "ecs-gpu" | "ecs-neuron":
            return _on_instances(configuration, demand, prices, operation)
        case "sagemaker-realtime" | "sagemaker-async":
            return (
                *sagemaker_charges(configuration, operation, prices),
                *volumes(configuration, operation, prices, "sagemaker:gb-month"),
                *stored(operation, prices),
                *distribution(configuration, operation, prices),
                sagemaker_data(demand, operation, prices),
                data_out(demand, operation, prices, streamed=False),
            )
        case "sagemaker-serverless":
            return (
                *serverless_charges(demand, operation, prices),
                *stored(operation, prices),
                sagemaker_data(demand, operation, prices),
                data_out(demand, operation, prices, streamed=False),
            )
        case "bedrock-on-demand":
            return token_charges(demand, operation, prices)
        case "bedrock-provisioned":
            return model_unit_charges(configuration, operation, prices)
        case "lambda-bedrock":
            return (
                *token_charges(demand, operation, prices),
                *lambda_charges(demand, operation, prices),
                data_out(demand, operation, prices, streamed=False),
            )


def _on_instances(
    configuration: Configuration, demand: Demand, prices: PriceBook, operation: Operation
) -> tuple[Charge, ...]:
    charges = instance_charges(configuration, operation, prices)
    if configuration.instance_type is None:
        # One's own machine: disks, network and power are in its price an hour.
        return charges
    charges += (
        *volumes(configuration, operation, prices, "ebs:gp3-gb-month"),
        *stored(operation, prices),
        *distribution(configuration, operation, prices),
        data_out(demand, operation, prices, streamed=True),
    )
    if configuration.strategy != "machine":
        charges += load_balancer(demand, operation, prices)
    return charges
