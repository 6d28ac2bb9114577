"""The images that ours are built on: which, where they are named, and by which digest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, Literal

from pilotage.errors import UsageError

ImageEngine = Literal["cpu", "cuda", "neuron"]
"""What an image computes on: which Dockerfile it has."""

DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """An image that ours are built on.

    Attributes:
        engine: What it computes on.
        registry: Host of the registry; docker.io for Docker's own.
        repository: Name there.
        tag: The version; people read it, the digest decides.
        python: Version of its ``python3``, for which wheels are downloaded.
        digest: ``sha256:…`` of the manifest or index; None until the registry was asked.
        source: Where the tag was seen.
        on: When, ISO date.
    """

    engine: ImageEngine
    registry: str
    repository: str
    tag: str
    python: str
    digest: str | None
    source: str
    on: str

    @property
    def name(self) -> str:
        """As ``FROM`` has it, without a digest: ``docker.io/library/python:3.12-slim``."""
        return f"{self.registry}/{self.repository}:{self.tag}"


@cache
def load_bases() -> Mapping[ImageEngine, Base]:
    """The base of every engine, from ``bases.json``."""
    text = (files("pilotage.ship.images") / "bases.json").read_text("utf-8")
    bases = (Base(**row) for row in json.loads(text)["bases"])
    return MappingProxyType({base.engine: base for base in bases})


def check_digest(digest: str) -> str:
    """A digest that is one.

    Raises:
        UsageError: It is not "sha256:" and 64 hexadecimal digits.
    """
    if DIGEST.fullmatch(digest) is None:
        raise UsageError(
            "is no digest of an image",
            where=f'BASE_DIGEST "{digest[:80]}"',
            hint='A digest is "sha256:" and 64 hexadecimal digits; '
            "`pilotage ship images --resolve` asks the registry for it",
        )
    return digest
