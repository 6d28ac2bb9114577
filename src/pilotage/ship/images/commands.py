"""The commands that make an image and bring it to its registry; run where a builder answers."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pilotage import __version__
from pilotage.errors import ResourceError, UsageError
from pilotage.ship.images.bases import ImageEngine, check_digest, load_bases
from pilotage.ship.images.container import image_engine
from pilotage.ship.images.dockerfile import EXTRAS
from pilotage.ship.target import Shipment

BY_DIGEST: Final = frozenset({"ecs", "sagemaker", "sagemaker-async"})
"""Targets that run the image of a digest, whatever its tag."""

_TAG_DIGITS: Final = 12
_BUILDERS: Final = ("docker", "podman")
_ASK_S: Final = 20.0
_ECR = re.compile(r"[0-9]{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?")


@dataclass(frozen=True, slots=True)
class Builder:
    """What builds images on this machine.

    Attributes:
        program: Path of docker or podman; None where neither is installed.
        problem: Why it cannot build; None if it can.
    """

    program: str | None
    problem: str | None = None


def find_builder(search_path: str | None = None) -> Builder:
    """The builder of this machine, asked whether it answers.

    Args:
        search_path: Instead of PATH.
    """
    problem = "neither docker nor podman is installed"
    for name in _BUILDERS:
        program = shutil.which(name, path=search_path)
        if program is None:
            continue
        try:
            asked = subprocess.run(
                [program, "info"], capture_output=True, text=True, timeout=_ASK_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = f"{name} does not answer: {type(error).__name__}"
            continue
        # Docker's CLI exits 0 without a daemon in some versions, and says so among the rest.
        if asked.returncode == 0 and "Cannot connect" not in asked.stdout + asked.stderr:
            return Builder(program)
        problem = f"{name} is installed, but its daemon does not answer"
    return Builder(None, problem)


def image_name(shipment: Shipment, account: str | None = None, *, content: str = "") -> str:
    """Name of the image that is built, with a tag: in the account's ECR where it is known.

    Tags of a repository of the deployment's own never move, so what is built of something else is
    pushed under another one. What runs is named by its digest there; where it is named by its tag,
    in manifests, that has to be known before anything is built.

    Args:
        shipment: What is shipped.
        account: AWS account; the spec's if None.
        content: What the image is built of.
    """
    account = account or shipment.shipping.account
    name = f"{shipment.name}:{tag_of(shipment)}"
    if content and shipment.target in BY_DIGEST:
        name = f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:_TAG_DIGITS]}"
    if account is None:
        return name
    return f"{account}.dkr.ecr.{shipment.shipping.region}.amazonaws.com/{name}"


def tag_of(shipment: Shipment) -> str:
    """What the tags of all images of this version and engine begin with."""
    return f"{__version__}-{image_engine(shipment)}"


def content_of_wheels(folder: Path) -> str:
    """Which wheels an image is built of: names and digests; empty where there are none yet."""
    if not folder.is_dir():
        return ""
    lines = []
    for path in sorted(folder.glob("*.whl")):
        with path.open("rb") as file:
            lines.append(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return "\n".join(lines)


def wheel_command(
    engine: ImageEngine, folder: Path, source: str | None = None, *, arm: bool = False
) -> list[str]:
    """What downloads all wheels of an image into ``wheels/`` of its folder, for the base's Python.

    Args:
        engine: What it computes on.
        folder: Of the Dockerfile.
        source: A wheel of Pilotage, or its requirement; this version from the index if None.
        arm: For 64-bit ARM instead of x86.
    """
    machine = "aarch64" if arm else "x86_64"
    wanted = source or f"pilotage[{EXTRAS[engine]}]=={__version__}"
    return [
        "python3", "-m", "pip", "download",
        "--only-binary=:all:",
        "--python-version", load_bases()[engine].python,
        "--platform", f"manylinux_2_28_{machine}",
        "--platform", f"manylinux2014_{machine}",
        "--dest", str(folder / "wheels"),
        wanted,
    ]  # fmt: skip


def build_command(
    name: str,
    folder: Path,
    *,
    digest: str | None = None,
    arm: bool = False,
    program: str = "docker",
) -> list[str]:
    """What builds the image.

    Args:
        name: With a tag.
        folder: Of the Dockerfile, with wheels/.
        digest: Of the base, where the Dockerfile has none.
        arm: For 64-bit ARM instead of x86.
        program: docker or podman.

    Raises:
        UsageError: The digest is none.
    """
    command = [
        program,
        "build",
        "--platform",
        "linux/arm64" if arm else "linux/amd64",
        "--tag",
        name,
    ]
    if Path(program).name == "docker":
        # An attestation makes an index of the image, which SageMaker and Lambda refuse.
        command.append("--provenance=false")
    if digest is not None:
        command += ["--build-arg", f"BASE_DIGEST={check_digest(digest)}"]
    return [*command, str(folder)]


def push_commands(name: str, *, program: str = "docker") -> list[list[str]]:
    """What brings the image to its registry.

    Raises:
        UsageError: The name has no registry.
    """
    registry, slash, _ = name.partition("/")
    if not slash or "." not in registry:
        raise UsageError(
            "has no registry to push to",
            where=f'image "{name}"',
            hint="Set shipping.account, whose ECR it then goes to, or shipping.image.uri",
        )
    return [[program, "push", name]]


def login_line(name: str, *, program: str = "docker") -> str | None:
    """What logs in to ECR, a line for a shell (a password goes through a pipe); None elsewhere."""
    registry = name.partition("/")[0]
    found = _ECR.fullmatch(registry)
    if found is None:
        return None
    return (
        f"aws ecr get-login-password --region {found['region']} | "
        f"{program} login --username AWS --password-stdin {registry}"
    )


def shown(command: Sequence[str]) -> str:
    """A command as a line that can be pasted into a shell."""
    return shlex.join(command)


def run(command: Sequence[str]) -> None:
    """Run one of the commands, its output going where ours goes.

    Raises:
        ResourceError: It failed.
    """
    status = subprocess.run(command, check=False).returncode
    if status:
        raise ResourceError(
            f"it ended with status {status}",
            where=shown(command),
            hint="Its last lines say why; nothing was changed in the cloud",
        )
