"""What a request has cost, failed ones included."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Final

from pilotage.route.attempt import Attempt, AttemptSink, Role

_AFTERWARDS: Final = frozenset({Role.SHADOW, Role.AUDIT})
"""Attempts that the answer did not need: they are in the ledger, not in the request's cost."""


class Costs:
    """Passes attempts on, and adds up what each request has cost.

    Args:
        sink: Where the attempts go.
    """

    def __init__(self, sink: AttemptSink) -> None:
        self._sink = sink
        self._sums: dict[str, Decimal] = defaultdict(Decimal)

    def record(self, attempt: Attempt) -> None:
        """Count an attempt, and pass it on."""
        if attempt.role not in _AFTERWARDS:
            self._sums[attempt.request_id] += attempt.cost
        self._sink.record(attempt)

    def of(self, request_id: str) -> Decimal:
        """US dollars of a request so far."""
        return self._sums.get(request_id, Decimal(0))

    def clear(self) -> None:
        """Forget all requests: the invocation is over."""
        self._sums.clear()


def cost_text(cost: Decimal) -> str:
    """US dollars as they stand in headers and bodies: exact, without an exponent."""
    return format(cost.normalize(), "f") if cost else "0"
