"""How many copies run: at the start, at least, at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilotage.catalog.instances import Instance
from pilotage.spec import Deployment
from pilotage.spec.plan_file import PlanFile
from pilotage.spec.shipping import ShippingSpec, TargetName

AVAILABLE: Final = 2
"""Replicas that outlive the loss of one: of an instance, of a zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """Numbers of replicas.

    Attributes:
        desired: At the start.
        least: Fewest.
        most: Most.
        notes: Why.
    """

    desired: int
    least: int
    most: int
    notes: tuple[str, ...]


def tasks_per_instance(plan: PlanFile, instance: Instance | None, devices: int) -> int:
    """Tasks that share an instance: as planned, else as many as its accelerators carry.

    ``replicas / count`` of the plan, else its accelerators by the ``devices`` of a task; one
    without accelerators.
    """
    replicas = _extra(plan, "replicas")
    count = plan.deployment.count
    if replicas >= count and replicas % count == 0:
        return replicas // count
    if instance is None or instance.accelerator is None:
        return 1
    return max(1, instance.accelerator.count // devices)


def replicas_of(
    deployment: Deployment,
    plan: PlanFile | None,
    shipping: ShippingSpec,
    target: TargetName,
    *,
    per_instance: int = 1,
) -> Replicas:
    """How many replicas the plan, the spec and availability ask for.

    The plan says what the load needs. Two at least, unless the spec says otherwise
    (``scaling.min`` or ``scaling.max``), or the budget carries one only. Provisioned throughput
    and Lambda are the provider's to keep up: there the plan's number stands.
    """
    scaling = shipping.scaling
    planned = plan.deployment.count * per_instance if plan is not None else 1
    most_planned = max(_extra(plan, "max_count") * per_instance, planned)
    if target == "lambda-bedrock":
        most = scaling.max or 100
        why = (f"Lambda scales by itself, to {most} at once, a bound on what it can spend.",)
        return Replicas(desired=0, least=0, most=most, notes=why)
    if target == "bedrock-provisioned":
        why = (f"{planned} model unit(s), as planned; the provider keeps them up.",)
        return Replicas(desired=planned, least=planned, most=planned, notes=why)
    lone = _why_one(deployment, plan, shipping, planned)
    given = "min" in scaling.model_fields_set
    # Any number of async instances may be zero: the queue holds what comes meanwhile.
    waits = target == "sagemaker-async"
    least = scaling.min if given or waits else (1 if lone else AVAILABLE)
    desired = max(planned, least)
    if lone is None and not given and not waits:
        desired = max(desired, AVAILABLE)
    most = scaling.max if scaling.max is not None else max(most_planned, desired)
    least, desired = min(least, most), min(desired, most)
    notes = [f"Replicas: {desired} at the start, {least} to {most}; the plan needs {planned}."]
    if desired < planned:
        notes.append(
            f"Careful: scaling.max of {most} is below the {planned} that the plan's load needs."
        )
    if desired == 1:
        notes.append(
            f"One replica{f' ({lone})' if lone else ''}: while its instance is replaced, nothing "
            "answers, and an update needs spare capacity or is a downtime of fetch and load."
        )
    elif planned < desired:
        notes.append(
            f"{desired} replicas so that the loss of one is not an outage; scaling.min: 1 makes "
            "it cheaper and less available."
        )
    return Replicas(desired=desired, least=least, most=most, notes=tuple(notes))


def _why_one(
    deployment: Deployment, plan: PlanFile | None, shipping: ShippingSpec, planned: int
) -> str | None:
    """Why two replicas are not to be had, if so."""
    scaling = shipping.scaling
    if scaling.max == 1:
        return "scaling.max is 1"
    if "min" in scaling.model_fields_set and scaling.min <= 1 and planned == 1:
        return f"scaling.min is {scaling.min}"
    if plan is None or planned >= AVAILABLE or deployment.budget is None:
        return None
    budget, said = deployment.budget, plan.predictions
    for name, limit, one in (
        ("usd_per_month", budget.usd_per_month, said.usd_per_month),
        ("usd_per_request", budget.usd_per_request, said.usd_per_request),
    ):
        if limit is not None and one is not None and AVAILABLE * one > limit:
            return f"two would cost {AVAILABLE * one:.4g}, above budget.{name} of {limit:.4g}"
    return None


def _extra(plan: PlanFile | None, name: str) -> int:
    """A further number of the planned deployment; 0 where it says none."""
    found = (plan.deployment.model_extra or {}).get(name) if plan is not None else None
    return found if isinstance(found, int) and found > 0 else 0
