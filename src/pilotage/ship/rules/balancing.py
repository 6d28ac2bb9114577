"""Rules of load balancers and target groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pilotage.ship.graph import Resource
from pilotage.ship.rules.reading import at, items, number, of_type, text
from pilotage.ship.rules.rule import Finding, rule
from pilotage.ship.target import Rendered, Shipment

_GROUP: Final = "AWS::ElasticLoadBalancingV2::TargetGroup"
_BALANCER: Final = "AWS::ElasticLoadBalancingV2::LoadBalancer"
_BOUNDS: Final = {
    "HealthCheckIntervalSeconds": (5, 300),
    "HealthCheckTimeoutSeconds": (2, 120),
    "HealthyThresholdCount": (2, 10),
    "UnhealthyThresholdCount": (2, 10),
}
_DEFAULT_DELAY: Final = 300
_LONGEST_DELAY: Final = 3600
_DEFAULT_IDLE: Final = 60
_LONGEST_IDLE: Final = 4000
_NAMES: Final = {
    _GROUP: ("Name", 32),
    _BALANCER: ("Name", 32),
    "AWS::IAM::Role": ("RoleName", 64),
    "AWS::Lambda::Function": ("FunctionName", 64),
    "AWS::SageMaker::Model": ("ModelName", 63),
    "AWS::SageMaker::Endpoint": ("EndpointName", 63),
    "AWS::SageMaker::EndpointConfig": ("EndpointConfigName", 63),
}


@rule(
    "target-check-bounds",
    what="Elastic Load Balancing refuses the target group.",
    limit="target groups: interval 5 to 300 s, timeout 2 to 120 s, thresholds 2 to 10",
    source="Elastic Load Balancing CreateTargetGroup (botocore)",
)
def _target_check_bounds(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, _GROUP):
        for field, (low, high) in _BOUNDS.items():
            value = number(one.properties.get(field))
            if value is not None and not low <= value <= high:
                yield Finding(f"{one.name}.{field}", f"{value:g}", f"Choose {low} to {high}")


@rule(
    "target-check-path",
    what="/ answers before the model does, and /health/live even when it never will: requests go "
    "to a replica that cannot answer.",
    limit="the load balancer asks the path that answers 200 once the model answers",
    source="DLC #2917: /ping 200 though the model failed to load",
)
def _target_check_path(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, _GROUP):
        if one.properties.get("TargetType") == "lambda":
            continue
        path = text(one.properties.get("HealthCheckPath"))
        if path != shipment.sizing.health_path:
            yield Finding(
                f"{one.name}.HealthCheckPath",
                path or "not set, which is /",
                f"Set it to {shipment.sizing.health_path}",
            )


@rule(
    "deregistration-covers-drain",
    what="The load balancer cuts the connections of requests that still have time to finish.",
    limit=f"the deregistration delay is from the drain deadline to {_LONGEST_DELAY} s",
    source="Elastic Load Balancing, deregistration_delay.timeout_seconds: 0 to 3600, default 300",
)
def _deregistration_covers_drain(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    needed = shipment.sizing.drain_s
    for one in of_type(rendered, _GROUP):
        if one.properties.get("TargetType") == "lambda":
            continue
        given = _attribute(one, "TargetGroupAttributes", "deregistration_delay.timeout_seconds")
        value = _DEFAULT_DELAY if given is None else given
        if not min(needed, _LONGEST_DELAY) <= value <= _LONGEST_DELAY:
            yield Finding(
                f"{one.name}.TargetGroupAttributes[deregistration_delay.timeout_seconds]",
                f"{value:g} s, the drain takes up to {needed} s",
                f"Set it to {min(needed, _LONGEST_DELAY)} or more, or shorten "
                "serving.drain_timeout",
            )


@rule(
    "idle-timeout",
    what="An answer that is not streamed sends no byte until it is whole: after the default of "
    "60 s its client gets a 504.",
    limit=f"the load balancer waits as long as serving.request_timeout, or {_LONGEST_IDLE} s",
    source="Elastic Load Balancing, idle_timeout.timeout_seconds: 1 to 4000, default 60",
)
def _idle_timeout(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    needed = min(shipment.deployment.serving.request_timeout, _LONGEST_IDLE)
    for one in of_type(rendered, _BALANCER):
        if one.properties.get("Type", "application") != "application":
            continue
        given = _attribute(one, "LoadBalancerAttributes", "idle_timeout.timeout_seconds")
        value = _DEFAULT_IDLE if given is None else given
        if not needed <= value <= _LONGEST_IDLE:
            yield Finding(
                f"{one.name}.LoadBalancerAttributes[idle_timeout.timeout_seconds]",
                f"{value:g} s, a request may take {needed:g} s",
                f"Set it to {needed:g}, or shorten serving.request_timeout",
            )


@rule(
    "balancer-zones",
    what="Elastic Load Balancing refuses an Application Load Balancer in one zone.",
    limit="a load balancer has subnets in two zones at least",
    source="Elastic Load Balancing CreateLoadBalancer",
)
def _balancer_zones(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, _BALANCER):
        subnets = items(one.properties, "Subnets") or items(one.properties, "SubnetMappings")
        if isinstance(one.properties.get("Subnets"), list | tuple) and len(subnets) < 2:
            yield Finding(
                f"{one.name}.Subnets",
                f"{len(subnets)} subnet(s)",
                "Name subnets of two zones in shipping.network.load_balancer_subnets",
            )


@rule(
    "internal",
    what="A model server that was meant for the house is on the internet.",
    limit='the load balancer is "internal" unless shipping.network.public is true',
    source="shipping.network.public of the spec; AWS's default is internet-facing",
)
def _internal(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, _BALANCER):
        scheme = one.properties.get("Scheme")
        if scheme != "internal" and not shipment.shipping.network.public:
            yield Finding(
                f"{one.name}.Scheme",
                str(scheme or "not set, which is internet-facing"),
                "Set it to internal, or shipping.network.public to true",
            )


@rule(
    "name-length",
    what="AWS refuses the resource, after half of the stack was made.",
    limit="names: load balancers and target groups 32, SageMaker 63, roles and functions 64",
    source="botocore's models of the services",
)
def _name_length(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for kind, (field, longest) in _NAMES.items():
        for one in of_type(rendered, kind):
            name: Any = one.properties.get(field)
            if isinstance(name, str) and len(name) > longest:
                yield Finding(
                    f"{one.name}.{field}",
                    f'"{name}" has {len(name)} characters',
                    f"Leave it out, or shorten the deployment's name to fit into {longest}",
                )


def _attribute(resource: Resource, field: str, key: str) -> float | None:
    return next(
        (
            number(at(one, "Value"))
            for one in items(resource.properties, field)
            if at(one, "Key") == key
        ),
        None,
    )


BALANCING_RULES: Final = (
    _target_check_bounds,
    _target_check_path,
    _deregistration_covers_drain,
    _idle_timeout,
    _balancer_zones,
    _internal,
    _name_length,
)
