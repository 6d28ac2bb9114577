"""What a deployment is asked for, as the planner's parts see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """A number of tokens: its median and 99th percentile (a log-normal goes through both)."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A workload and what is promised for it.

    Attributes:
        rate: Requests a second, on average.
        peak: Requests a second in the busiest minutes.
        shape: How they arrive.
        prompt: Prompt tokens a request, chat template included, images not.
        completion: Completion tokens a request.
        images: Images a request.
        image_width: Pixels.
        image_height: Pixels.
        ttft_p99: Seconds promised; None when it is not.
        tpot_p99: Seconds promised.
        e2e_p99: Seconds promised.
        usd_per_month: The most it may cost; None without a bound.
        usd_per_request: Likewise, on average.
    """

    rate: float
    peak: float
    shape: Literal["steady", "spiky", "batch"]
    prompt: Lengths
    completion: Lengths
    images: int = 0
    image_width: int = 0
    image_height: int = 0
    ttft_p99: float | None = None
    tpot_p99: float | None = None
    e2e_p99: float | None = None
    usd_per_month: float | None = None
    usd_per_request: float | None = None

    @property
    def busiest_rate(self) -> float:
        """Requests a second that capacity is planned for: the peak's; batch work waits."""
        return self.rate if self.shape == "batch" else self.peak
