"""Values of a template's parameters, asked of AWS: image, keys, present count, zones, range."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pilotage.errors import ResourceError, UsageError
from pilotage.serve.keys import KeyStore
from pilotage.ship.graph import Graph
from pilotage.ship.images import render_image, tag_of
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.places import range_of, zones_that_offer, zones_with
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.service import EcsService
from pilotage.ship.target import Shipment

DIGEST: Final = "ImageDigest"
KEYS: Final = "KeysSecretArn"
DESIRED: Final = "DesiredCount"
ZONES: Final = ("ZoneA", "ZoneB")
ALLOWED: Final = "AllowedCidr"

_NO_DIGEST: Final = "sha256:" + "0" * 64


class NotPushedError(ResourceError):
    """The repository holds no image yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What parameters can be taken from.

    Attributes:
        given: By the user; they come before all others.
        outputs: Of the stack that comes first.
        service: That runs already, if one does.
        present: Parameters of the stack as it is; empty where there is none.
    """

    given: Mapping[str, str]
    outputs: Mapping[str, str]
    service: EcsService | None = None
    present: Mapping[str, str] = field(default_factory=dict)


def values(
    aws: Aws, graph: Graph, shipment: Shipment, known: Known, *, complete: bool
) -> dict[str, str]:
    """The value of every parameter of the graph.

    Args:
        aws: Where.
        graph: The template's.
        shipment: What is shipped.
        known: Where values come from.
        complete: Whether a stand-in may not stay.

    Raises:
        NotPushedError: The image is not there and ``complete`` asks for it.
        PilotageError: AWS cannot be asked.
    """
    found: dict[str, str] = {}
    wanted = {one.name for one in graph.parameters} - known.given.keys()
    zones = _zones(aws, shipment, known) if wanted.intersection(ZONES) else {}
    for one in graph.parameters:
        value = known.given.get(one.name, one.default)
        if one.name not in known.given:
            if one.name == DIGEST and one.default == _NO_DIGEST:
                value = _newest_digest(aws, shipment) or value
            elif one.name == KEYS:
                value = known.outputs.get(KEYS, value)
            elif one.name == DESIRED and known.service is not None:
                value = _desired(known.service, shipment, one.default)
            elif one.name in zones:
                value = zones[one.name]
            elif one.name == ALLOWED and shipment.shipping.network.vpc_id is not None:
                value = range_of(aws, shipment.shipping.network.vpc_id)
        if complete and value == _NO_DIGEST:
            raise _not_pushed(aws, shipment)
        found[one.name] = value
    return found


def fill_keys(aws: Aws, arn: str, *, say: Say) -> str | None:
    """Put a first API key into an empty secret; the key, or None if there are keys already.

    The key is said before it is valid: whoever is killed in between says another the next time,
    and the last one said is the one that works.

    Raises:
        PilotageError: AWS cannot be asked.
    """
    present = aws.try_call(
        "secretsmanager", "get_secret_value", "ResourceNotFoundException", SecretId=arn
    )
    if present is not None and str(present.get("SecretString", "")).strip() not in ("", "{}"):
        return None
    with tempfile.TemporaryDirectory(prefix="pilotage-") as folder:
        path = Path(folder) / "keys.json"
        issued = KeyStore(path).add("shipped")
        content = path.read_text("utf-8")
    say(Note(step="change", what=arn, text=f"the API key, shown this once: {issued.text}"))
    aws.call("secretsmanager", "put_secret_value", SecretId=arn, SecretString=content)
    return issued.text


def _zones(aws: Aws, shipment: Shipment, known: Known) -> dict[str, str]:
    """The zones of the stack's own network; those it has stay, since subnets cannot move.

    Raises:
        UsageError: The stack's zones do not have the machine that is wanted now.
    """
    instance_type = shipment.sizing.instance_type or ""
    present = {name: known.present[name] for name in ZONES if name in known.present}
    if len(present) < len(ZONES):
        return dict(zip(ZONES, zones_with(aws, instance_type), strict=True))
    if not zones_that_offer(aws, instance_type).intersection(present.values()):
        raise UsageError(
            f"the stack's network is in {' and '.join(sorted(present.values()))}, which do not "
            f"have {instance_type}",
            where="plan: deployment.instance_type",
            hint="Plan for an instance type that they have, or destroy and apply again: a new "
            "network is made where the machine is",
        )
    return present


def _newest_digest(aws: Aws, shipment: Shipment) -> str | None:
    """The image that was pushed last, of this version and engine if there is one.

    Only what has a tag: the parts of an index and its attestations have none.
    """
    listed = aws.try_call(
        "ecr",
        "describe_repositories",
        "RepositoryNotFoundException",
        repositoryNames=[shipment.name],
    )
    if listed is None:
        return None
    images: list[dict[str, Any]] = list(
        aws.pages(
            "ecr",
            "describe_images",
            "imageDetails",
            repositoryName=shipment.name,
            filter={"tagStatus": "TAGGED"},
        )
    )
    start = tag_of(shipment)
    fitting = [
        one for one in images if any(tag.startswith(start) for tag in one.get("imageTags") or ())
    ]
    newest = max(fitting or images, key=lambda one: one["imagePushedAt"], default=None)
    return None if newest is None else str(newest["imageDigest"])


def _desired(service: EcsService, shipment: Shipment, default: str) -> str:
    """The present number, which scaling chose, within what the spec allows now."""
    replicas = service.replicas()
    if replicas is None:
        return default
    sizing = shipment.sizing
    return str(min(max(replicas.desired, sizing.min_replicas), sizing.max_replicas))


def _not_pushed(aws: Aws, shipment: Shipment) -> NotPushedError:
    account = str(aws.call("sts", "get_caller_identity")["Account"])
    image = render_image(shipment, account=account)
    made = aws.try_call(
        "ecr",
        "describe_repositories",
        "RepositoryNotFoundException",
        repositoryNames=[shipment.name],
    )
    commands = [] if image is None else list(image.commands)
    if made is None:
        # ECS has a stack that makes it.
        commands.insert(
            0,
            f"aws ecr create-repository --region {aws.region} --repository-name {shipment.name} "
            "--image-tag-mutability IMMUTABLE --image-scanning-configuration scanOnPush=true",
        )
    return NotPushedError(
        f"the repository {shipment.name} holds no image yet",
        where="shipping.image",
        hint="Build the rendered Dockerfile (ship render, or ship images) and push it, then apply "
        "again: " + " && ".join(commands),
    )
