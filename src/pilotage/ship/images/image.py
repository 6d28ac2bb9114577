"""The files from which an image is built, and what a reviewer should know of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pilotage.catalog.instances import load_instances
from pilotage.ship.images.bases import load_bases
from pilotage.ship.images.commands import (
    build_command,
    image_name,
    login_line,
    push_commands,
    shown,
    wheel_command,
)
from pilotage.ship.images.container import image_engine
from pilotage.ship.images.dockerfile import DOCKERIGNORE, dockerfile
from pilotage.ship.target import Shipment

FOLDER: Final = "image"
"""Where they lie in the output folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFiles:
    """An image, as text.

    Attributes:
        name: What the build tags.
        files: Text by path, in the output folder.
        commands: Lines for a shell: wheels, build, log in, push.
        notes: For the reviewer.
        warnings: What must be done first.
    """

    name: str
    files: Mapping[str, str]
    commands: tuple[str, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def render_image(
    shipment: Shipment,
    *,
    digest: str | None = None,
    account: str | None = None,
    wheels: str = "",
) -> ImageFiles | None:
    """The image's files; None where the spec names an image that exists.

    Args:
        shipment: What is shipped.
        digest: Of the base; that of ``bases.json`` if None.
        account: AWS account whose ECR it goes to; the spec's if None.
        wheels: Which wheels it is built of, by `content_of_wheels`; not known if empty.

    Raises:
        UsageError: The digest is none.
    """
    if shipment.shipping.image.uri is not None:
        return None
    engine = image_engine(shipment)
    base = load_bases()[engine]
    text = dockerfile(engine, digest=digest, title=shipment.name)
    name = image_name(shipment, account, content=text + wheels)
    folder, arm = Path(FOLDER), _is_arm(shipment)
    commands = [
        shown(wheel_command(engine, folder, arm=arm)),
        shown(build_command(name, folder, arm=arm)),
    ]
    if "/" in name:
        commands += [line] if (line := login_line(name)) else []
        commands += [shown(command) for command in push_commands(name)]
    warnings: tuple[str, ...] = ()
    if digest is None and base.digest is None:
        warnings = (
            f"The image's base {base.name} is not pinned yet: BASE_DIGEST has no value, and a "
            "build without one fails. `pilotage ship images --resolve` asks the registry for it.",
        )
    return ImageFiles(
        name=name,
        files={
            f"{FOLDER}/Dockerfile": text,
            f"{FOLDER}/.dockerignore": DOCKERIGNORE,
        },
        commands=tuple(commands),
        notes=(f"Image for {engine}, on {base.name} (seen {base.on}: {base.source}).",),
        warnings=warnings,
    )


def _is_arm(shipment: Shipment) -> bool:
    instance = load_instances().get(shipment.sizing.instance_type or "")
    return instance is not None and instance.architecture == "arm64"
