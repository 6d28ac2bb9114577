"""What judges a request's difficulty before anything is generated."""

from __future__ import annotations

from typing import Protocol

from pilotage.route.call import Call
from pilotage.route.estimate import Estimate


class Estimator(Protocol):
    """Says how good each tier's answer to a request is expected to be."""

    async def estimate(self, call: Call) -> Estimate:
        """The expectation; it has an opinion about every request and never fails.

        An estimator that cannot tell (a model that classifies is down, or answers in prose) says
        that only the last tier is good enough.
        """
        ...
