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

    The container always gets the whole grace, also where SageMaker downloads the weights: waiting
    costs nothing where all goes well.

    Args:
        sizing: Predicted fetch and load, and the grace that was made of them.
        downloaded: Whether SageMaker downloads the weights, from S3.

    Raises:
        UsageError: The prediction alone is beyond what SageMaker waits.
    """
    needed = sizing.fetch_s + sizing.load_s
    if needed > LONGEST_S:
        raise UsageError(
            f"fetching and loading the weights takes {needed:,.0f} s by prediction; SageMaker "
            f"waits {LONGEST_S} s at most",
            where="shipping.target",
            hint=_SMALLER if downloaded else f"{_FROM_S3}. {_SMALLER}",
        )
    margin = max(1.0, sizing.grace_s / needed) if needed else 1.0
    return Startup(
        download_s=_within(sizing.fetch_s * margin) if downloaded else None,
        container_s=_within(sizing.grace_s),
        notes=_capped(sizing.grace_s),
    )


_SMALLER: Final = (
    "Quantise the model (fp8, AWQ), take an instance with more network bandwidth, or ship to ecs, "
    "where the grace has no such bound"
)
_FROM_S3: Final = "Copy the weights to S3 in the same region (shipping.weights_uri)"


def _within(seconds: float) -> int:
    return min(LONGEST_S, max(SHORTEST_S, math.ceil(seconds)))


def _capped(wanted: float) -> tuple[str, ...]:
    if wanted <= LONGEST_S:
        return ()
    return (
        f"The start-up time-out is SageMaker's longest, {LONGEST_S} s; with its margin the "
        f"prediction asks for {wanted:,.0f} s.",
    )
