"""The demand that a recorded trace shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from pilotage.errors import UsageError
from pilotage.plan.demand import Lengths
from pilotage.plan.simulate.requests import Floats, Ints

_LEAST: Final = 100
_MINUTE: Final = 60.0
_SPIKY: Final = 1.5
"""A busiest minute of so many times the mean makes it spiky."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What of a demand a trace says; see `pilotage.plan.demand.Demand`."""

    rate: float
    peak: float
    shape: Literal["steady", "spiky"]
    prompt: Lengths
    completion: Lengths


def recorded(
    times_s: Sequence[float] | Floats,
    prompt_tokens: Sequence[int] | Ints,
    completion_tokens: Sequence[int] | Ints,
    *,
    where: str,
) -> Recorded:
    """Rate, busiest minute and lengths.

    Args:
        times_s: Seconds since the first request, ascending.
        prompt_tokens: Of each request.
        completion_tokens: Likewise; a request that brought none counts as one.
        where: The file, for errors.

    Raises:
        UsageError: It has too few requests, or they come all at once.
    """
    times = np.asarray(times_s, dtype=np.float64)
    if len(times) < _LEAST or times[-1] <= 0:
        raise UsageError(
            f"{len(times)} requests in {times[-1] if len(times) else 0:g} s say too little about "
            "a p99",
            where=where,
            hint=f"Give a trace of {_LEAST} requests or more",
        )
    last = float(times[-1])
    rate = len(times) / last
    minutes = max(1, int(last // _MINUTE))
    whole = times[times < minutes * _MINUTE] if last > _MINUTE else times
    counts = np.bincount((whole // min(_MINUTE, last)).astype(np.int64), minlength=minutes)
    peak = max(rate, float(counts[:minutes].max()) / min(_MINUTE, last))
    return Recorded(
        rate=rate,
        peak=peak,
        shape="spiky" if peak > _SPIKY * rate else "steady",
        prompt=_lengths(prompt_tokens),
        completion=_lengths(completion_tokens),
    )


def _lengths(tokens: Sequence[int] | Ints) -> Lengths:
    p50, p99 = np.quantile(np.maximum(1, np.asarray(tokens)), (0.5, 0.99)).tolist()
    return Lengths(p50=round(p50), p99=max(round(p50), round(p99)))
