"""Rules of Kubernetes probes, which kill what loads slowly unless they are told to wait."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pilotage.ship.rules.pods import pods
from pilotage.ship.rules.reading import at, items, number, text
from pilotage.ship.rules.rule import Finding, rule
from pilotage.ship.target import Rendered, Shipment

_LOCALHOST = re.compile(r"\blocalhost\b|\[::1\]")
_CLIENTS = re.compile(r"\b(curl|wget|nc)\b")
_PROBES: Final = ("startupProbe", "readinessProbe", "livenessProbe")
_KUBERNETES: Final = "Kubernetes documentation"


@rule(
    "k8s-startup",
    what="The kubelet kills a pod that is still loading, and again: kserve #1161, vllm #19377.",
    limit="startupProbe: failureThreshold x periodSeconds is at least the predicted seconds of "
    "fetch and load",
)
def _k8s_startup(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    for pod in pods(rendered):
        name, one = pod.serving
        probe = at(one, "startupProbe")
        if not pod.stays or (probe is None and "livenessProbe" in one):
            continue  # A liveness probe without a startup probe is another rule's.
        needed = _start_s(shipment, fetched_before=bool(items(pod.spec, "initContainers")))
        if probe is None or _patience(probe) < needed:
            yield Finding(
                f"{pod.where}.{name}.startupProbe",
                "not set" if probe is None else f"gives up after {_patience(probe):g} s",
                f"Let failureThreshold x periodSeconds be {max(shipment.sizing.grace_s, needed)}",
            )


@rule(
    "k8s-liveness",
    what="A liveness probe that begins with the container restarts it while it loads.",
    limit="livenessProbe only beside a startupProbe",
    source=f"{_KUBERNETES}, probes; kserve #1161",
)
def _k8s_liveness(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for pod in pods(rendered):
        name, one = pod.serving
        if pod.stays and "livenessProbe" in one and "startupProbe" not in one:
            yield Finding(
                f"{pod.where}.{name}.livenessProbe",
                "begins before the model is loaded",
                "Add a startupProbe, which holds it back",
            )


@rule(
    "k8s-readiness",
    what="Requests go to a pod that cannot answer yet.",
    limit="the container that serves has a readinessProbe",
    source=f"{_KUBERNETES}, probes",
)
def _k8s_readiness(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for pod in pods(rendered):
        name, one = pod.serving
        if pod.stays and not pod.filled_in and "readinessProbe" not in one:
            yield Finding(
                f"{pod.where}.{name}.readinessProbe", "not set", "Ask /health/ready over HTTP"
            )


@rule(
    "k8s-probe-command",
    what="localhost may be ::1 where the server listens on IPv4, and the images have no curl.",
    limit="probes ask over HTTP without a host, or run python3 against 127.0.0.1",
)
def _k8s_probe_command(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for pod in pods(rendered):
        for name, one in pod.everything:
            for field in _PROBES:
                said = text(at(one, field, "exec", "command"))
                said += text(at(one, field, "httpGet", "host"))
                if _LOCALHOST.search(said) or _CLIENTS.search(said):
                    yield Finding(
                        f"{pod.where}.{name}.{field}", said[:120], "Use httpGet without a host"
                    )


def _start_s(shipment: Shipment, *, fetched_before: bool) -> int:
    """Seconds that the container itself takes; a fetch in an init container is over by then."""
    if shipment.shipping.grace is not None:
        return round(shipment.shipping.grace)
    fetch = 0.0 if fetched_before else shipment.sizing.fetch_s
    return round(fetch + shipment.sizing.load_s)


def _patience(probe: Mapping[str, Any]) -> float:
    """Seconds until the kubelet gives up; Kubernetes' defaults are 10 s and 3 times."""
    return (number(probe.get("initialDelaySeconds")) or 0) + (
        number(probe.get("failureThreshold")) or 3
    ) * (number(probe.get("periodSeconds")) or 10)


PROBE_RULES: Final = (
    _k8s_startup,
    _k8s_liveness,
    _k8s_readiness,
    _k8s_probe_command,
)
