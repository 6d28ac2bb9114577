"""The ``workload:`` section: how requests arrive and how long they are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from pilotage.spec.fields import Count, Rate, Section
from pilotage.units import format_rate


class ArrivalsSpec(Section):
    """How often requests arrive."""

    rate: Rate = Field(gt=0, description="Average arrival rate of requests.")
    peak: Rate = Field(
        default_factory=lambda data: data["rate"],
        gt=0,
        description="Arrival rate in the busiest minutes. Equal to the rate if not given.",
    )
    shape: Literal["steady", "spiky", "batch"] = Field(
        default="steady",
        description="steady: independent arrivals; spiky: bursts up to the peak; "
        "batch: work that may wait and run in its own time.",
    )

    @field_validator("peak")
    @classmethod
    def _peak_holds_rate(cls, peak: float, info: ValidationInfo) -> float:
        rate = info.data.get("rate")
        if rate is not None and peak < rate:
            raise ValueError(
                f"should be at least the rate, {format_rate(rate)}, got {format_rate(peak)}"
            )
        return peak


class TokensSpec(Section):
    """How many tokens a request has: the median and the 99th percentile."""

    p50: Count = Field(gt=0, description="Median number of tokens a request.")
    p99: Count = Field(gt=0, description="99th percentile of the number of tokens a request.")

    @field_validator("p99")
    @classmethod
    def _p99_holds_p50(cls, p99: int, info: ValidationInfo) -> int:
        p50 = info.data.get("p50")
        if p50 is not None and p99 < p50:
            raise ValueError(f"should be at least p50, {p50}, got {p99}")
        return p99


class ImagesSpec(Section):
    """The images that come with a request to a vision model."""

    count: int = Field(default=1, ge=1, le=1024, description="Images a request.")
    width: int = Field(ge=1, le=65_536, description="Typical width in pixels.")
    height: int = Field(ge=1, le=65_536, description="Typical height in pixels.")


class WorkloadSpec(Section):
    """What clients will ask for: how often, how long, with which images."""

    arrivals: ArrivalsSpec = Field(description="How often requests arrive, and in which pattern.")
    prompt_tokens: TokensSpec = Field(
        default=TokensSpec(p50=256, p99=1024),
        description="Length of the prompts, chat template included. "
        "256 at p50 and 1024 at p99 if not given.",
    )
    completion_tokens: TokensSpec = Field(
        default=TokensSpec(p50=128, p99=512),
        description="Length of the generated text. 128 at p50 and 512 at p99 if not given.",
    )
    images: ImagesSpec | None = Field(
        default=None, description="Images in a request. None if not given."
    )
