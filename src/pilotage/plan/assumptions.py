"""What a plan takes for granted because no spec says it, and how to say otherwise."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from pilotage.errors import UsageError
from pilotage.plan.strategies import BedrockAssumptions, parse_assumptions
from pilotage.units import parse_duration, parse_rate, parse_size, printable

Quality = Literal["stored", "fp8", "any"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """Figures that a user may replace with ``--assume NAME=VALUE``.

    Attributes:
        quality: Number formats that may be taken where the spec says "auto". "stored": what the
            files hold (bf16 and fp16 count as one); "fp8": also fp8, made from the same files at
            loading; "any": also int8 and AWQ, which need files of their own.
        memory_utilisation: Share of an accelerator's memory the engine may use.
        burst_s: How long a busy phase lasts: "the busiest minutes" of a spec.
        start_s: Seconds from the decision for an instance until it answers; computed from the
            sizes of image and weights if None.
        image_bytes: Of the container image.
        autoscaling: Whether capacity follows the load where it can in time.
        cached_share: Share of the prompt tokens that a prefix cache holds.
        estimate_sagemaker: Whether an unknown SageMaker price may be estimated from EC2's.
        interruptions_per_hour: How often a spot instance is taken away.
        through_nat: Whether weights and image come through a NAT gateway, which is paid.
        bedrock: What the user says of Bedrock: latencies and quotas that nobody publishes.
    """

    quality: Quality = "fp8"
    memory_utilisation: float = 0.9
    burst_s: float = 60.0
    start_s: float | None = None
    image_bytes: int = 9_000_000_000
    autoscaling: bool = True
    cached_share: float = 0.0
    estimate_sagemaker: bool = False
    interruptions_per_hour: float = 1 / 24
    through_nat: bool = False
    bedrock: BedrockAssumptions = field(default_factory=BedrockAssumptions)


def _share(text: str) -> float:
    value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= value <= 1:
        raise ValueError("should be from 0 to 1")
    return value


def _truth(text: str) -> bool:
    known = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
    if text.lower() not in known:
        raise ValueError("should be yes or no")
    return known[text.lower()]


def _quality(text: str) -> str:
    if text not in ("stored", "fp8", "any"):
        raise ValueError("should be stored, fp8 or any")
    return text


_NAMES: Final[Mapping[str, tuple[str, Callable[[str], Any], str]]] = MappingProxyType(
    {
        "quality": ("quality", _quality, "stored, fp8 or any"),
        "memory.utilisation": ("memory_utilisation", _share, "0.9"),
        "burst": ("burst_s", parse_duration, "2h"),
        "start": ("start_s", parse_duration, "4m"),
        "image": ("image_bytes", parse_size, "9GB"),
        "autoscaling": ("autoscaling", _truth, "yes"),
        "prefix.cached": ("cached_share", _share, "0.5"),
        "sagemaker.estimate": ("estimate_sagemaker", _truth, "yes"),
        "spot.interruptions": ("interruptions_per_hour", lambda t: parse_rate(t) * 3600, "1/day"),
        "nat": ("through_nat", _truth, "yes"),
    }
)
ASSUMPTIONS: Final = (
    *_NAMES,
    *(f"bedrock.{one.name}" for one in dataclasses.fields(BedrockAssumptions)),
)
"""The names that `--assume` takes."""


def assume(given: Iterable[str], base: Assumptions | None = None) -> Assumptions:
    """Assumptions with those that are given as ``NAME=VALUE``.

    Raises:
        UsageError: A name is unknown, or a value makes no sense.
    """
    values: dict[str, Any] = {}
    of_bedrock: list[str] = []
    for one in given:
        name, mark, text = one.partition("=")
        if name.strip() in ASSUMPTIONS and name.strip() not in _NAMES:
            of_bedrock.append(one)
            continue
        known = _NAMES.get(name.strip())
        if not mark or known is None:
            near = difflib.get_close_matches(name.strip(), ASSUMPTIONS, n=1)
            raise UsageError(
                f'"{printable(one[:60])}" is no assumption',
                where="--assume",
                hint=(f'Did you mean "{near[0]}"? ' if near else "")
                + f"Write NAME=VALUE; the names are {', '.join(ASSUMPTIONS)}",
            )
        attribute, parse, example = known
        try:
            values[attribute] = parse(text.strip())
        except (ValueError, UsageError) as error:
            shown = error.message if isinstance(error, UsageError) else str(error)
            raise UsageError(
                f"{name.strip()}: {printable(shown[:120])}",
                where="--assume",
                hint=f"Write it like {name.strip()}={example}",
            ) from None
    if of_bedrock:
        values["bedrock"] = parse_assumptions(of_bedrock)
    return dataclasses.replace(base or Assumptions(), **values)
