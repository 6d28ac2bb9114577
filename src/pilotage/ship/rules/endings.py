"""Rules of how an ECS container is checked, and how it ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pilotage.ship.rules.reading import at, containers, items, number, text, user_data
from pilotage.ship.rules.rule import Finding, rule
from pilotage.ship.target import Rendered, Shipment

_BOUNDS: Final = {"Interval": (5, 300), "Timeout": (2, 60), "Retries": (1, 10)}
_LARGEST_START_PERIOD: Final = 300
_LARGEST_STOP: Final = 120
_DEFAULT_STOP: Final = 30
_LOCALHOST = re.compile(r"\blocalhost\b|\[::1\]")
_CLIENTS = re.compile(r"\b(curl|wget|nc)\b")
_AGENT_STOP = re.compile(r"ECS_CONTAINER_STOP_TIMEOUT=\"?(\d+)(ms|s|m|h)?")
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


@rule(
    "start-period",
    what="A load of 20 minutes does not fit in a container check's start period; the service's "
    "grace covers it.",
    limit=f"HealthCheck.StartPeriod is 0 to {_LARGEST_START_PERIOD} s",
)
def _start_period(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, _, one in containers(rendered):
        value = number(at(one, "HealthCheck", "StartPeriod"))
        if value is not None and not 0 <= value <= _LARGEST_START_PERIOD:
            yield Finding(
                f"{where}.HealthCheck.StartPeriod",
                f"{value:g} s",
                f"Set it to {_LARGEST_START_PERIOD} and let the service's "
                "HealthCheckGracePeriodSeconds cover the rest",
            )


@rule(
    "check-bounds",
    what="ECS refuses the task definition; cfn-lint passes it.",
    limit="HealthCheck: Interval 5 to 300 s, Timeout 2 to 60 s, Retries 1 to 10",
)
def _check_bounds(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, _, one in containers(rendered):
        for field, (low, high) in _BOUNDS.items():
            value = number(at(one, "HealthCheck", field))
            if value is not None and not low <= value <= high:
                yield Finding(
                    f"{where}.HealthCheck.{field}", f"{value:g}", f"Choose {low} to {high}"
                )


@rule(
    "check-loopback",
    what="localhost may resolve to ::1 while the server listens on IPv4: a healthy container is "
    "killed.",
    limit="a container checks itself at 127.0.0.1",
)
def _check_loopback(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, _, one in containers(rendered):
        command = text(at(one, "HealthCheck", "Command"))
        if _LOCALHOST.search(command):
            yield Finding(f"{where}.HealthCheck.Command", command[:120], "Write 127.0.0.1")


@rule(
    "check-client",
    what="Images of vLLM and Pilotage have no curl, wget or nc: the check fails always.",
    limit="a container checks itself with python3",
)
def _check_client(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, _, one in containers(rendered):
        command = text(at(one, "HealthCheck", "Command"))
        if found := _CLIENTS.search(command):
            yield Finding(
                f"{where}.HealthCheck.Command",
                f"calls {found[1]}",
                'Use python3 -c with urllib.request on "http://127.0.0.1:PORT/health/ready"',
            )


@rule(
    "stop-bound",
    what="Beyond it the task definition is refused (Fargate), or is documented nowhere (EC2).",
    limit=f"StopTimeout is 2 to {_LARGEST_STOP} s",
    source="botocore's ContainerDefinition.stopTimeout; containers-roadmap #1808",
)
def _stop_bound(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, _, one in containers(rendered):
        value = number(one.get("StopTimeout"))
        if value is not None and not 2 <= value <= _LARGEST_STOP:
            yield Finding(
                f"{where}.StopTimeout",
                f"{value:g} s",
                "Leave it out and set ECS_CONTAINER_STOP_TIMEOUT in the instances' "
                "/etc/ecs/ecs.config",
            )


@rule(
    "stop-covers-drain",
    what="SIGKILL comes while requests that were promised an end are still running.",
    limit="the time from SIGTERM to SIGKILL is at least the drain deadline",
    source="ECS: 30 s unless StopTimeout or ECS_CONTAINER_STOP_TIMEOUT say otherwise (botocore)",
)
def _stop_covers_drain(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    found = _AGENT_STOP.search(user_data(rendered))
    agent = float(found[1]) * _SECONDS[found[2] or "s"] if found else float(_DEFAULT_STOP)
    needed = shipment.sizing.drain_s
    for where, _, one in containers(rendered):
        if not items(one, "PortMappings"):
            continue
        given = number(one.get("StopTimeout"))
        allowed = agent if given is None else given
        # What is out of bounds is another rule's.
        if allowed < needed and (given is None or 2 <= given <= _LARGEST_STOP):
            yield Finding(
                f"{where}.StopTimeout",
                f"{allowed:g} s, the drain takes up to {needed} s",
                f"Set it to {shipment.sizing.stop_s}, or shorten serving.drain_timeout",
            )


CHECK_RULES: Final = (
    _start_period,
    _check_bounds,
    _check_loopback,
    _check_client,
    _stop_bound,
    _stop_covers_drain,
)
