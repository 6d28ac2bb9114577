"""What a run leaves behind, before statistics."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.plan.simulate.requests import Floats


@dataclass(frozen=True, slots=True)
class Outcome:
    """Each request's times, and what the fleet did.

    Attributes:
        arrival_s: Seconds from the beginning.
        first_s: When its first token came; nan if it was refused.
        finish_s: When its last token came; nan likewise.
        busy_s: Seconds that engines worked, all replicas together.
        paid_s: Seconds that replicas were paid for, all together.
        replicas: (second, replicas paid for) at every change, from the beginning.
        interruptions: Replicas lost to spot interruptions.
        restarted: Requests that began anew because of them.
        window_bias: Relative error in the number of requests in progress that comes from
            simulating windows side by side; 0 when time was simulated in one piece.
    """

    arrival_s: Floats
    first_s: Floats
    finish_s: Floats
    busy_s: float
    paid_s: float
    replicas: tuple[tuple[float, int], ...]
    interruptions: int = 0
    restarted: int = 0
    window_bias: float = 0.0
