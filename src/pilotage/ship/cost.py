"""What a shipment costs a month: at the replicas it starts with, at the fewest, at the most.

Instances, volumes, registry, load balancer and traffic are the planner's own terms; what only a
shipment has (spot shares, the NAT gateway of a new network, logs) is added here. Money is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Final

from pilotage.catalog.prices import PriceBook, bedrock_id
from pilotage.errors import UsageError
from pilotage.plan.cost import HOURS_PER_MONTH, Charge, Operation, requests_a_month
from pilotage.plan.cost.charges import charge, total
from pilotage.plan.cost.instances import (
    instance_charges,
    model_unit_charges,
    sagemaker_charges,
)
from pilotage.plan.cost.metered import lambda_charges, sagemaker_data
from pilotage.plan.cost.storage import volumes as sagemaker_volumes
from pilotage.plan.cost.traffic import data_out, load_balancer
from pilotage.plan.demand import Demand, Lengths
from pilotage.plan.option import Configuration
from pilotage.ship.cost_of_tiers import tier_charges
from pilotage.ship.target import Shipment

_EXACT_DIGITS: Final = 120
_GIB: Final = 1 << 30
_LOG_BYTES: Final = 700
"""One line a request with ids, tokens and latencies, bytes; an assumption."""

_ON_ECS: Final = ("ecs", "terraform")
_ON_NODES: Final = ("kubernetes", "kserve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A month of 730 hours.

    Attributes:
        replicas: Copies, or model units, all month.
        instances: That carry them; 0 where there are none.
        charges: Line by line, with formula, source and day.
        usd: What they come to, exact.
    """

    replicas: int
    instances: int
    charges: tuple[Charge, ...]
    usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What a shipment costs a month.

    Attributes:
        desired: With the replicas it starts with.
        least: With the fewest, all month.
        most: With the most, all month: what scaling can spend.
        notes: What is not in it, and what was assumed.
    """

    desired: Bill
    least: Bill
    most: Bill
    notes: tuple[str, ...]


def monthly_cost(
    shipment: Shipment, prices: PriceBook, *, estimate_sagemaker: bool = False
) -> Total:
    """What a month costs, at the desired, the fewest and the most replicas.

    Traffic is that of the spec's workload on average, whatever the number of replicas. Without a
    workload nothing that is paid by use is in it, which a note says.

    Args:
        shipment: What is shipped.
        prices: Of its region.
        estimate_sagemaker: Whether an unknown SageMaker price may be estimated from EC2's.

    Raises:
        UnknownPriceError: A price is not known; the hint says how to pass it. It is never 0.
        UsageError: The prices are of another region.
    """
    if prices.region != shipment.shipping.region:
        raise UsageError(
            f"prices of {prices.region} say nothing of {shipment.shipping.region}",
            where="shipping.region",
            hint=f"pilotage catalog refresh --region {shipment.shipping.region}",
        )
    sizing = shipment.sizing
    demand = _demand(shipment)
    operation = _operation(shipment, estimate=estimate_sagemaker)
    with localcontext(prec=_EXACT_DIGITS):
        desired, least, most = (
            _bill(shipment, demand, operation, prices, replicas)
            for replicas in (sizing.desired, sizing.min_replicas, sizing.max_replicas)
        )
    return Total(desired=desired, least=least, most=most, notes=_notes(shipment))


def _bill(
    shipment: Shipment, demand: Demand, operation: Operation, prices: PriceBook, replicas: int
) -> Bill:
    instances = 0
    charges: Sequence[Charge]
    match shipment.target:
        case "ecs" | "terraform" | "kubernetes" | "kserve":
            instances = math.ceil(replicas / shipment.sizing.tasks_per_instance)
            charges = _on_ec2(shipment, demand, operation, prices, instances)
        case "sagemaker" | "sagemaker-async":
            instances = replicas
            charges = _on_sagemaker(shipment, demand, operation, prices, instances)
        case "bedrock-provisioned":
            units = Configuration(strategy="bedrock-provisioned", count=replicas)
            charges = model_unit_charges(units, operation, prices)
        case "lambda-bedrock":
            charges = (
                *lambda_charges(demand, operation, prices),
                *tier_charges(
                    shipment.deployment,
                    demand,
                    prices,
                    every=replicas > shipment.sizing.desired,
                    bedrock=operation.bedrock_id,
                ),
                data_out(demand, operation, prices, streamed=False),
                _logs(demand, prices),
            )
        case "local":
            charges = ()
    return Bill(replicas=replicas, instances=instances, charges=tuple(charges), usd=total(charges))


def _on_ec2(
    shipment: Shipment,
    demand: Demand,
    operation: Operation,
    prices: PriceBook,
    instances: int,
) -> list[Charge]:
    """Instances of one's own, and on ECS what lies around them."""
    sizing = shipment.sizing
    charges = _markets(shipment, operation, prices, instances)
    each = sizing.root_gib + (0 if sizing.instance_store else sizing.weights_gib)
    gp3 = prices.price("ebs:gp3-gb-month")
    charges.append(charge("volumes", gp3, (instances, "volumes"), (each, "GB")))
    charges.append(_image(operation, prices))
    if (shipment.shipping.weights_uri or shipment.deployment.model.source).startswith("s3://"):
        kept = (operation.weights_bytes / _GIB, "GB")
        charges.append(charge("weights in S3", prices.price("s3:gb-month"), kept))
    charges.append(data_out(demand, operation, prices, streamed=True))
    if shipment.target in _ON_ECS:
        charges += load_balancer(demand, operation, prices)
        charges.append(_logs(demand, prices))
        charges += _network(shipment, operation, prices, instances)
    return charges


def _markets(
    shipment: Shipment, operation: Operation, prices: PriceBook, instances: int
) -> list[Charge]:
    """On demand the base and what of the rest is no spot, rounded up as the group does it."""
    scaling = shipment.shipping.scaling
    # The spec's base is of replicas.
    kept = math.ceil(scaling.on_demand_base / shipment.sizing.tasks_per_instance)
    base = min(instances, kept) if scaling.spot_share else instances
    on_demand = base + math.ceil((instances - base) * (1 - scaling.spot_share))
    found: list[Charge] = []
    for market, count in (("on-demand", on_demand), ("spot", instances - on_demand)):
        if count or (market == "on-demand" and not instances):
            here = Configuration(
                strategy="ecs-gpu", instance_type=shipment.sizing.instance_type, count=count
            )
            how = _with_market(operation, spot=market == "spot")
            found += instance_charges(here, how, prices)
    return found


def _on_sagemaker(
    shipment: Shipment,
    demand: Demand,
    operation: Operation,
    prices: PriceBook,
    instances: int,
) -> list[Charge]:
    here = Configuration(
        strategy="sagemaker-realtime",
        instance_type=shipment.sizing.instance_type,
        count=instances,
    )
    return [
        *sagemaker_charges(here, operation, prices),
        *sagemaker_volumes(here, operation, prices, "sagemaker:gb-month"),
        _image(operation, prices),
        charge(
            "weights in S3",
            prices.price("s3:gb-month"),
            (operation.weights_bytes / _GIB, "GB"),
        ),
        sagemaker_data(demand, operation, prices),
        data_out(demand, operation, prices, streamed=False),
        _logs(demand, prices),
    ]


def _network(
    shipment: Shipment, operation: Operation, prices: PriceBook, instances: int
) -> tuple[Charge, ...]:
    """The NAT gateway of a new network; in a given one it is somebody else's.

    Image layers and S3 go past it through a gateway endpoint; weights from a hub go through it,
    once an instance.
    """
    if shipment.shipping.network.vpc_id is not None:
        return ()
    hours = charge("NAT gateway", prices.price("nat:hour"), (HOURS_PER_MONTH, "h"))
    source = shipment.shipping.weights_uri or shipment.deployment.model.source
    if source.startswith("s3://"):
        return (hours,)
    fetched = operation.weights_bytes / _GIB
    through = prices.price("nat:gb")
    return (hours, charge("weights through NAT", through, (instances, "starts"), (fetched, "GB")))


def _image(operation: Operation, prices: PriceBook) -> Charge:
    kept = (operation.image_bytes / _GIB, "GB")
    return charge("image in ECR", prices.price("ecr:gb-month"), kept)


def _logs(demand: Demand, prices: PriceBook) -> Charge:
    requests = (requests_a_month(demand), "requests")
    return charge("logs", prices.price("logs:gb"), requests, (_LOG_BYTES / _GIB, "GB"))


def _demand(shipment: Shipment) -> Demand:
    """The workload on average; none is a rate of 0."""
    workload, slo = shipment.deployment.workload, shipment.deployment.slo
    plan = shipment.plan
    e2e = plan.predictions.e2e.p50 if plan is not None and plan.predictions.e2e else slo.e2e_p99
    if workload is None:
        nothing = Lengths(p50=0, p99=0)
        return Demand(
            rate=0.0, peak=0.0, shape="steady", prompt=nothing, completion=nothing, e2e_p99=e2e
        )
    images = workload.images
    return Demand(
        rate=workload.arrivals.rate,
        peak=workload.arrivals.peak,
        shape=workload.arrivals.shape,
        prompt=Lengths(p50=workload.prompt_tokens.p50, p99=workload.prompt_tokens.p99),
        completion=Lengths(p50=workload.completion_tokens.p50, p99=workload.completion_tokens.p99),
        images=images.count if images else 0,
        image_width=images.width if images else 0,
        image_height=images.height if images else 0,
        e2e_p99=e2e,
    )


def _operation(shipment: Shipment, *, estimate: bool) -> Operation:
    sizing, model = shipment.sizing, shipment.deployment.model
    e2e = _demand(shipment).e2e_p99
    if e2e is None and shipment.deployment.workload is None:
        e2e = 0.0  # No request: no second of a function.
    return Operation(
        start_s=sizing.fetch_s + sizing.load_s,
        weights_bytes=sizing.weights_bytes,
        image_bytes=sizing.image_bytes,
        mean_e2e_s=e2e,
        function_gb=sizing.task_memory_mib / 1024,
        bedrock_id=bedrock_id(model.source.removeprefix("swarm://")),
        estimate_sagemaker=estimate,
    )


def _with_market(operation: Operation, *, spot: bool) -> Operation:
    """The same operation, paid otherwise."""
    return Operation(
        start_s=operation.start_s,
        weights_bytes=operation.weights_bytes,
        image_bytes=operation.image_bytes,
        market="spot" if spot else "on-demand",
    )


def _notes(shipment: Shipment) -> tuple[str, ...]:
    notes = ["Not in it: secrets, alarms, custom metrics and public addresses, some dollars."]
    if shipment.target == "local":
        return ("This machine is not billed.",)
    if shipment.deployment.workload is None:
        notes.append("No workload is given: what is paid by use (traffic, tokens, logs) is 0.")
    if shipment.target in _ON_NODES:
        notes.append("Not in it: the cluster itself, its load balancer, network and logs.")
    if shipment.target == "lambda-bedrock":
        notes.append(
            "desired and least: the first tier answers every request; most: every request asks "
            "every tier. pilotage route calibrate says what lies between."
        )
    if shipment.shipping.scaling.spot_share:
        notes.append("Spot instances are replaced once a day each, an assumption.")
    return tuple(notes)
