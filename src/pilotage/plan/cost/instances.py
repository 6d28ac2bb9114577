"""What instances and model units cost, whichever way they are paid."""

from __future__ import annotations

from pilotage.catalog.prices import Price, PriceBook, UnknownPriceError
from pilotage.errors import UsageError
from pilotage.plan.cost.charges import Charge, charge, plain
from pilotage.plan.cost.operation import HOURS_PER_MONTH, Operation
from pilotage.plan.option import Configuration


def instance_charges(
    configuration: Configuration, operation: Operation, prices: PriceBook
) -> tuple[Charge, ...]:
    """EC2 instances, or a machine of one's own where there is no instance type."""
    hours = operation.hours(configuration.count)
    if configuration.instance_type is None:
        price = prices.price("machine:hour")
        return (charge("machine", price, (hours, "h"), capacity=True),)
    return {"spot": _spot, "one-year": _one_year, "on-demand": _on_demand}[operation.market](
        configuration.instance_type, configuration.count, operation, prices
    )


def sagemaker_charges(
    configuration: Configuration, operation: Operation, prices: PriceBook
) -> tuple[Charge, ...]:
    """SageMaker instances; with `Operation.estimate_sagemaker` an unknown price is estimated.

    The bill then takes the high end, and names the range.
    """
    if configuration.instance_type is None:
        raise UsageError("SageMaker instances need a type", where="instance_type")
    hours = operation.hours(configuration.count)
    price = _sagemaker_price(configuration.instance_type, prices, operation)
    return (charge("instances", price, (hours, "h"), capacity=True),)


def model_unit_charges(
    configuration: Configuration, operation: Operation, prices: PriceBook
) -> tuple[Charge, ...]:
    """Model units of Bedrock's provisioned throughput."""
    if operation.bedrock_id is None:
        raise UsageError("provisioned throughput needs Bedrock's id of the model")
    price = prices.bedrock_model_unit(operation.bedrock_id)
    hours = operation.hours(configuration.count)
    return (charge("model units", price, (hours, "h"), capacity=True),)


def _on_demand(
    name: str, count: int, operation: Operation, prices: PriceBook
) -> tuple[Charge, ...]:
    hours = operation.hours(count)
    return (charge("instances", prices.ec2(name), (hours, "h"), capacity=True),)


def _spot(name: str, count: int, operation: Operation, prices: PriceBook) -> tuple[Charge, ...]:
    """Spot hours, and the hours that instances which replace others take to start.

    Each hour that serves brings `interruptions_per_hour` replacements of `start_s` seconds, which
    are paid and do not serve.
    """
    hours = operation.hours(count)
    price = prices.ec2(name, "spot")
    return (
        charge("spot instances", price, (hours, "h"), capacity=True),
        charge(
            "spot replacements",
            price,
            (hours, "h"),
            (operation.interruptions_per_hour, "interruptions/h"),
            (operation.start_s / 3600, "h"),
        ),
    )


def _one_year(name: str, count: int, operation: Operation, prices: PriceBook) -> tuple[Charge, ...]:
    committed = count * HOURS_PER_MONTH
    charges = [
        charge(
            "committed instances",
            prices.ec2(name, "one-year"),
            (committed, "h"),
            capacity=True,
        )
    ]
    if (beyond := operation.hours(count) - committed) > 0:
        charges.append(
            charge("instances on demand", prices.ec2(name), (beyond, "h"), capacity=True)
        )
    return tuple(charges)


def _sagemaker_price(name: str, prices: PriceBook, operation: Operation) -> Price:
    try:
        return prices.sagemaker(name)
    except UnknownPriceError as error:
        if operation.estimate_sagemaker:
            estimate = prices.sagemaker_estimate(name)
            return Price(
                amount=estimate.high.amount,
                unit=estimate.high.unit,
                source=f"{estimate.high.source}; the range begins at "
                f"{plain(estimate.low.amount)} {estimate.low.unit}",
                date=estimate.high.date,
                region=estimate.high.region,
            )
        raise UnknownPriceError(
            error.message,
            name=error.name,
            hint=f"{error.hint}; --assume sagemaker.estimate=yes takes 1.25 to 1.40 times EC2's",
        ) from None
