"""How long SageMaker waits for a container: two time-outs, both bounded, both too short unset.

Where weights lie on S3 and are named in the model, SageMaker downloads them before it starts the
container: the download has a time-out of its own. Otherwise the container fetches them itself, and
all of it falls under the start-up time-out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from pilotage.errors import UsageError
from pilotage.ship.sizing import Sizing

LONGEST_S: Final = 3600
"""Longest of both time-outs, seconds; the shortest is 60 (SageMaker API reference,
ProductionVariant, 2026-11-22)."""

SHORTEST_S: Final = 300
"""Seconds that either is given at least: a wait costs nothing where all goes well, and a slow hour
of S3 would cost an endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Startup:
    """The two time-outs.

    Attributes:
        download_s: ``ModelDataDownloadTimeoutInSeconds``; None where SageMaker downloads nothing.
        container_s: ``ContainerStartupHealthCheckTimeoutInSeconds``: until ``GET /ping`` is 200.
        notes: Why.
    """

    download_s: int | None
    container_s: int
    notes: tuple[str, ...] = ()


def startup_of(sizing: Sizing, *, downloaded: bool) -> Startup:
    """The time-outs of a deployment: its predictions, with the margin of its grace.

    Args:
        sizing: Predicted fetch and load, and the grace that was made of them.
        downloaded: Whether SageMaker downloads the weights, from S3.

    Raises:
        UsageError: The prediction alone is beyond what SageMaker waits.
    """
    needed = sizing.fetch_s + sizing.load_s
    margin = max(1.0, sizing.grace_s / needed) if needed else 1.0
    if not downloaded:
        _check(needed, "fetching and loading the weights", _FROM_S3)
        return Startup(
            download_s=None,
            container_s=_within(max(needed * margin, sizing.grace_s)),
            notes=_capped(needed * margin, "the container's start"),
        )
    _check(sizing.fetch_s, "downloading the weights from S3", _SMALLER)
    _check(sizing.load_s, "loading the weights", _SMALLER)
    return Startup(
        download_s=_within(sizing.fetch_s * margin),
        container_s=_within(sizing.load_s * margin),
        notes=(
            *_capped(sizing.fetch_s * margin, "the download"),
            *_capped(sizing.load_s * margin, "the container's start"),
        ),
    )


_SMALLER: Final = (
    "Quantise the model (fp8, AWQ), take an instance with more network bandwidth, or ship to ecs, "
    "where the grace has no such bound"
)
_FROM_S3: Final = (
    "Copy the weights to S3 and name them in shipping.weights_uri: their download then has "
    f"{LONGEST_S} s of its own. Or ship to ecs, where the grace has no such bound"
)


def _check(seconds: float, what: str, hint: str) -> None:
    if seconds > LONGEST_S:
        raise UsageError(
            f"{what} takes {seconds:,.0f} s by prediction; SageMaker waits {LONGEST_S} s at most",
            where="shipping.target",
            hint=hint,
        )


def _within(seconds: float) -> int:
    return min(LONGEST_S, max(SHORTEST_S, math.ceil(seconds)))


def _capped(wanted: float, what: str) -> tuple[str, ...]:
    if wanted <= LONGEST_S:
        return ()
    return (
        f"The time-out of {what} is SageMaker's longest, {LONGEST_S} s; with its margin the "
        f"prediction asks for {wanted:,.0f} s.",
    )
