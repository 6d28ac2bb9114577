"""The ``images:`` part of ``serving:``: which images a vision model's clients may send."""

from __future__ import annotations

from pydantic import Field

from pilotage.spec.fields import Duration, Section, Size

_MIB = 1024**2


class ImageLimitsSpec(Section):
    """Which images are accepted, and from where."""

    max_bytes: Size = Field(
        default=20_000_000, ge=1024, le=1024 * _MIB, description="Largest image file."
    )
    max_pixels: int = Field(
        default=40_000_000,
        ge=1,
        le=1_000_000_000,
        description="Most pixels of an image, by its header, before it is decoded.",
    )
    max_count: int = Field(default=8, ge=1, le=256, description="Most images a request.")
    max_held: Size = Field(
        default=4 * 1024 * _MIB,
        ge=1024,
        description="Most bytes of images that all requests together may have sent and not yet "
        "had decoded, nearly all of them on the disk for temporary files.",
    )
    url_hosts: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="Hosts from which images named by an http(s) address are fetched. "
        "None if not given: only images inside the request.",
    )
    url_timeout: Duration = Field(
        default=10.0, gt=0, description="Longest time that fetching an image may take."
    )
