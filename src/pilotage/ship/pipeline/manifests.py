"""What a workflow has to know of the rendered Kubernetes objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import yaml

from pilotage.ship.target import Rendered

_CLUSTERS: Final = frozenset({"kubernetes", "kserve"})
_HTTP: Final = 80


def kinds(rendered: Rendered, target: str) -> frozenset[str]:
    """Kinds of the objects; none on other platforms."""
    return frozenset(str(one.get("kind")) for one in _objects(rendered, target))


def service_port(rendered: Rendered, target: str) -> int:
    """The Service's port, which is another where it has a certificate."""
    services = (one for one in _objects(rendered, target) if one.get("kind") == "Service")
    ports = (int(port["port"]) for one in services for port in one["spec"]["ports"])
    return next(ports, _HTTP)


def _objects(rendered: Rendered, target: str) -> Iterator[dict[str, Any]]:
    if target not in _CLUSTERS:
        return
    for name, text in rendered.files.items():
        if name.endswith(".yaml"):
            yield from (one for one in yaml.safe_load_all(text) if isinstance(one, dict))
