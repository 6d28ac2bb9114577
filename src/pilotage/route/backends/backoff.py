"""How long to wait before a backend is asked again.

Waits follow "full jitter" (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
2015): the n-th is uniform in [0, min(cap, base * 2^n)], which spreads many callers over the whole
interval and needs the fewest calls in all. Where the backend names a time, that is the earliest
and the jitter comes on top: all who are told "5 s" together must not come back together.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

_BASE_S: Final = 0.25
_CAP_S: Final = 8.0
_ASKED_SPREAD: Final = 0.25


def backoff_s(
    failures: int,
    asked_s: float | None,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Seconds to wait.

    Args:
        failures: How many there were before the last.
        asked_s: What the backend asked for; None if it did not.
        uniform: `random.uniform`; tests replace it.
    """
    spread = min(_CAP_S, _BASE_S * 2.0 ** min(failures, 60))
    if asked_s is None:
        return uniform(0.0, spread)
    return asked_s + uniform(0.0, max(spread, asked_s * _ASKED_SPREAD))
