"""What goes into the function: the spec, what it needs of Python, and a name that says which.

The zip's key holds a digest of all that is known of it, so that another spec is another key:
CloudFormation looks at the key, not at the bytes behind it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Final

import yaml

from pilotage import __version__
from pilotage.errors import UsageError
from pilotage.ship.target import Shipment

SPEC: Final = "spec.yaml"
HANDLER: Final = "pilotage.route.handler.handler"
PYTHON: Final = "3.13"
RUNTIME: Final = f"python{PYTHON}"

NEEDED: Final = (
    "boto3",
    "certifi",
    "genai-prices",
    "httptools",
    "msgspec",
    "pydantic",
    "pyyaml",
    "urllib3",
)
"""Distributions that the handler imports; the rest of Pilotage's (engines, servers) would not fit
into the 250 MB that a function may unzip to."""

_CALIBRATED: Final = ("numpy",)
_FOLDER: Final = "package"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The function's package.

    Attributes:
        files: Text by path, within the rendered folder.
        key: Of the zip in its bucket.
    """

    files: Mapping[str, str]
    key: str


def package_of(shipment: Shipment) -> Package:
    """The package of a deployment.

    Raises:
        UsageError: The calibration that the spec names cannot be read.
    """
    spec, calibration = _spec(shipment)
    needed = (*NEEDED, *(_CALIBRATED if calibration else ()))
    files = {
        f"{_FOLDER}/{SPEC}": spec,
        **({f"{_FOLDER}/{calibration[0]}": calibration[1]} if calibration else {}),
        "requirements.txt": "".join(f"{one}\n" for one in requirements(needed)),
    }
    digest = hashlib.sha256(__version__.encode())
    for path, text in sorted(files.items()):
        digest.update(f"\0{path}\0{text}".encode())
    return Package(files=files, key=f"{shipment.name}/{__version__}-{digest.hexdigest()[:16]}.zip")


def requirements(needed: tuple[str, ...]) -> list[str]:
    """The named distributions with the versions that Pilotage asks for."""
    asked: dict[str, str] = {}
    for line in metadata.requires("pilotage") or ():
        text = line.partition(";")[0].strip()
        found = re.match(r"[A-Za-z0-9._-]+", text)
        if found is not None:
            asked.setdefault(found[0].lower(), text)
    return [asked.get(name, name) for name in needed]


def _spec(shipment: Shipment) -> tuple[str, tuple[str, str] | None]:
    """The spec as the function reads it, and the calibration beside it: its name and text."""
    data = shipment.deployment.model_dump(
        mode="json",
        exclude_unset=True,
        exclude={"shipping", "workload", "budget", "serving", "model"},
    )
    data["name"] = shipment.deployment.name
    routing = shipment.deployment.routing
    path = routing.calibration if routing is not None else None
    calibration = None
    if path is not None:
        try:
            calibration = (path.name, path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or "not UTF-8").lower()
            raise UsageError(
                f"{path} cannot be read: {reason}",
                where="routing.calibration",
                hint="Write it with: pilotage route calibrate",
            ) from None
        data["routing"]["calibration"] = path.name
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    return text, calibration
