"""Rules of ECS services: grace, updates, circuit breaker."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from pilotage.ship.graph import Resource
from pilotage.ship.rules.reading import GROUP, SERVICE, at, items, number, of_type, truth
from pilotage.ship.rules.rule import Finding, rule
from pilotage.ship.startup import LARGEST_GRACE
from pilotage.ship.target import Rendered, Shipment


@rule(
    "grace-bounds",
    what="ECS refuses the service; cfn-lint passes a negative grace.",
    limit=f"HealthCheckGracePeriodSeconds is 0 to {LARGEST_GRACE:,}",
)
def _grace_bounds(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, SERVICE):
        value = number(one.properties.get("HealthCheckGracePeriodSeconds"))
        if value is not None and not 0 <= value <= LARGEST_GRACE:
            yield Finding(
                f"{one.name}.HealthCheckGracePeriodSeconds",
                f"{value:g}",
                "Set it to what the sizing says, or to shipping.grace",
            )


@rule(
    "grace-covers-load",
    what="The default of 0 kills a task before its model is loaded, and the next, in a loop.",
    limit="HealthCheckGracePeriodSeconds is at least the predicted seconds of fetch and load",
)
def _grace_covers_load(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    needed = _start_s(shipment)
    for one in of_type(rendered, SERVICE):
        given = one.properties.get("HealthCheckGracePeriodSeconds")
        value = number(given) if given is not None else 0.0
        if value is not None and 0 <= value < needed:
            yield Finding(
                f"{one.name}.HealthCheckGracePeriodSeconds",
                f"{value:g} s, fetch and load take {needed} s"
                if given is not None
                else f"not set, which is 0 s; fetch and load take {needed} s",
                f"Set it to {max(shipment.sizing.grace_s, needed)}, or raise shipping.grace",
            )


@rule(
    "rollout-explicit",
    what="The default of 100 % and 200 % needs twice the GPUs for every update, and waits for "
    "ever where there are none.",
    limit="MinimumHealthyPercent and MaximumPercent are both given",
)
def _rollout_explicit(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, SERVICE):
        for field in ("MinimumHealthyPercent", "MaximumPercent"):
            if number(at(one.properties, "DeploymentConfiguration", field)) is None:
                yield Finding(
                    f"{one.name}.DeploymentConfiguration.{field}",
                    "not set",
                    "Choose shipping.rollout: spare (100 and 200) or downtime (0 and 100)",
                )


@rule(
    "rollout-moves",
    what="An update that may neither stop an old task nor start a new one never ends.",
    limit="floor(desired x MaximumPercent) is above the desired count, or "
    "ceil(desired x MinimumHealthyPercent) below it",
    source="ECS DeploymentConfiguration: lower limits are rounded up, upper ones down (botocore)",
)
def _rollout_moves(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, SERVICE):
        desired, low, high = _rollout(one, shipment)
        if low is None or high is None or not desired:
            continue
        if math.floor(desired * high / 100) <= desired <= math.ceil(desired * low / 100):
            yield Finding(
                f"{one.name}.DeploymentConfiguration",
                f"{low:g} % to {high:g} % of {desired} task(s)",
                "Set MinimumHealthyPercent to 0, or MaximumPercent to 200",
            )


@rule(
    "rollout-spare",
    what="New tasks wait in PROVISIONING for instances that the group may not start, and the "
    "update ends as failed after hours.",
    limit="the group's MaxSize carries the tasks of an update: ceil(floor(desired x "
    "MaximumPercent) / tasks an instance), where no old task may stop first",
)
def _rollout_spare(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    largest = [number(one.properties.get("MaxSize")) for one in of_type(rendered, GROUP)]
    sizes = [one for one in largest if one is not None]
    if not sizes:
        return
    for one in of_type(rendered, SERVICE):
        desired, low, high = _rollout(one, shipment)
        if low is None or high is None or not desired:
            continue
        if math.ceil(desired * low / 100) < desired:
            continue  # Old tasks make room.
        # One more than desired is enough to go on, if slowly.
        tasks = min(math.floor(desired * high / 100), desired + 1)
        needed = math.ceil(tasks / shipment.sizing.tasks_per_instance)
        if sum(sizes) < needed:
            yield Finding(
                f"{one.name}.DeploymentConfiguration.MaximumPercent",
                f"an update needs {needed} instances, the group starts at most {sum(sizes):g}",
                f"Raise MaxSize to {needed}, or choose shipping.rollout: downtime",
            )


@rule(
    "circuit-breaker",
    what="Without it a deployment whose tasks all fail is tried for ever, and paid for.",
    limit="DeploymentCircuitBreaker is enabled, with rollback",
)
def _circuit_breaker(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, SERVICE):
        if at(one.properties, "DeploymentController", "Type", default="ECS") != "ECS":
            continue
        breaker = at(one.properties, "DeploymentConfiguration", "DeploymentCircuitBreaker")
        for field in ("Enable", "Rollback"):
            if not truth(at(breaker, field)):
                yield Finding(
                    f"{one.name}.DeploymentConfiguration.DeploymentCircuitBreaker.{field}",
                    "is not true",
                    "Set Enable and Rollback to true",
                )


@rule(
    "breaker-rolling",
    what="The circuit breaker belongs to rolling updates; others are refused with it.",
    limit="DeploymentCircuitBreaker with the deployment controller ECS only",
)
def _breaker_rolling(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, SERVICE):
        kind = at(one.properties, "DeploymentController", "Type", default="ECS")
        breaker = at(
            one.properties, "DeploymentConfiguration", "DeploymentCircuitBreaker", "Enable"
        )
        if kind != "ECS" and truth(breaker):
            yield Finding(
                f"{one.name}.DeploymentController.Type", str(kind), "Take ECS, the rolling update"
            )


@rule(
    "launch-or-strategy",
    what="ECS refuses a service with both.",
    limit="a service has LaunchType or CapacityProviderStrategy, not both",
    source="ECS CreateService (botocore)",
)
def _launch_or_strategy(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, SERVICE):
        if one.properties.get("LaunchType") and items(one.properties, "CapacityProviderStrategy"):
            yield Finding(
                f"{one.name}.LaunchType", str(one.properties["LaunchType"]), "Leave it out"
            )


def _start_s(shipment: Shipment) -> int:
    """Predicted seconds of fetch and load; a grace that the spec gives was measured, and stands."""
    if shipment.shipping.grace is not None:
        return math.ceil(shipment.shipping.grace)
    return math.ceil(shipment.sizing.fetch_s + shipment.sizing.load_s)


def _rollout(service: Resource, shipment: Shipment) -> tuple[int, float | None, float | None]:
    """Desired count and the two percentages."""
    given = number(service.properties.get("DesiredCount"))
    configuration = at(service.properties, "DeploymentConfiguration", default={})
    return (
        int(given) if given is not None else shipment.sizing.desired,
        number(at(configuration, "MinimumHealthyPercent")),
        number(at(configuration, "MaximumPercent")),
    )


SERVICE_RULES: Final = (
    _grace_bounds,
    _grace_covers_load,
    _rollout_explicit,
    _rollout_moves,
    _rollout_spare,
    _circuit_breaker,
    _breaker_rolling,
    _launch_or_strategy,
)
