"""What is inside a container, whoever runs it: paths, user, the spec it serves, its command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import yaml

from pilotage.ship.images.bases import ImageEngine
from pilotage.ship.inside.places import MODELS
from pilotage.ship.target import Shipment

_ENGINES: Final[Mapping[str, ImageEngine]] = {"neuron": "neuron", "vllm": "cuda"}


def image_engine(shipment: Shipment) -> ImageEngine:
    """Which Dockerfile: what the spec says, or what the accelerators and the engine need."""
    given = shipment.shipping.image.engine
    if given != "auto":
        return given
    if shipment.sizing.neuron_devices:
        return "neuron"
    if shipment.sizing.gpus:
        return "cuda"
    return _ENGINES.get(shipment.sizing.engine, "cpu")


def container_spec(shipment: Shipment) -> str:
    """The spec as the container serves it, YAML.

    It listens on all addresses (who reaches it is the platform's network's business, and it needs
    keys for that), takes the weights from where they were put, and keeps the name that clients
    know. What only concerns shipping, budgets and the workload stays outside.
    """
    data = shipment.deployment.model_dump(
        mode="json",
        exclude_unset=True,
        exclude={"shipping", "workload", "budget"},
    )
    data["name"] = shipment.deployment.name
    model = data.setdefault("model", {})
    if shipment.shipping.weights_uri is not None:
        # What is known of the original source (a commit, a digest) says nothing about the copy.
        for field in ("revision", "sha256"):
            model.pop(field, None)
        model["source"] = shipment.shipping.weights_uri
        model["served_name"] = shipment.deployment.model.name
    serving = data.setdefault("serving", {})
    serving |= {"host": "0.0.0.0", "port": shipment.sizing.port, "log_format": "json"}  # noqa: S104
    serving.pop("api_keys", None)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)


def environment(engine: ImageEngine) -> dict[str, str]:
    """Variables that hold in every container."""
    variables = {
        "PILOTAGE_HOME": MODELS,
        # The root is read-only: what engines compile and cache goes where they may write.
        "HOME": "/tmp",  # noqa: S108  a container has one user
        "PYTHONUNBUFFERED": "1",
    }
    if engine != "cpu":
        variables["PILOTAGE_ENGINE_COMMAND"] = "python3"
    return variables
