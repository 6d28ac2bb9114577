"""How many steps, how large, how fast."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How to train.

    Attributes:
        steps: Updates of the weights.
        batch: Pictures an update.
        rate: Highest learning rate, reached after `warm_up` steps; it falls as a cosine.
        warm_up: Steps of rising rate.
    """

    steps: int
    batch: int
    rate: float
    warm_up: int = 80

    def rate_at(self, step: int) -> float:
        """The learning rate: a straight rise, then half a cosine to 2 %."""
        if step < self.warm_up:
            return self.rate * step / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.rate * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
