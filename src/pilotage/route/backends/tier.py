"""A tier: backends that stand in for one another, and the one retry loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pilotage.route.attempt import AttemptSink, Role
from pilotage.route.backends.attempt_stream import AttemptStream
from pilotage.route.backends.backend import Backend
from pilotage.route.call import Call
from pilotage.route.pricing import TierPrice
from pilotage.spec.tiers import TierSpec


class Tier:
    """Asks one of its backends, and others where that is safe.

    Args:
        spec: Names, weights, limits.
        backends: In the order of ``spec.backends``.
        price: What its tokens cost.
        sink: Gets exactly one row an attempt.
        clock: Monotonic seconds, the clock of `Call.deadline`.

    Attributes:
        name: The spec's.
        price: What its tokens cost.
    """

    def __init__(
        self,
        spec: TierSpec,
        backends: Sequence[Backend],
        price: TierPrice,
        sink: AttemptSink,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = spec.name
        self.price = price

    @property
    def available(self) -> bool:
        """Whether some backend may be asked now."""
        raise NotImplementedError

    def answer(
        self,
        call: Call,
        *,
        role: Role = Role.ANSWER,
        decision: str = "",
        deferred: bool = False,
    ) -> AttemptStream:
        """An answer, which begins when it is iterated.

        Args:
            call: The request. After its deadline nothing is tried.
            role: What for, as far as is known.
            decision: Why, as far as is known.
            deferred: Write the last attempt's row not at its end but when it is settled.

        Returns:
            Its chunks. The iteration raises `BackendError`: OVERLOADED, with a time after which
            to come back, if no backend may be asked.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of the backends' connections."""
