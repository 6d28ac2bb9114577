"""What an answer of the router and one that is passed on share: time, failures, the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pilotage.route.backends.backend import BackendError
from pilotage.route.ledger.budgets import Reservation
from pilotage.route.rejection import Rejection
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.errors import ApiError
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.watched_response import WatchedResponse
from pilotage.serve.routing.failures import of_backend, of_rejection

if TYPE_CHECKING:
    from pilotage.serve.routing.routing import Routing


class TierResponse(WatchedResponse):
    """An answer that costs money: what was reserved of a key's budget is settled at its end.

    Args:
        context: The gateway's.
        exchange: The request's.
        routing: Has the tiers.
        reservation: What is kept for it of its key's budget.
    """

    def __init__(
        self,
        context: GatewayContext,
        exchange: Exchange,
        routing: Routing,
        reservation: Reservation | None,
    ) -> None:
        super().__init__(context, exchange)
        self._routing = routing
        self._reservation = reservation

    def _limit_s(self) -> float:
        return min(self._routing.timeout_s, super()._limit_s())

    def _known(self, error: Exception) -> ApiError | None:
        if isinstance(error, Rejection):
            return of_rejection(error)
        return of_backend(error) if isinstance(error, BackendError) else super()._known(error)

    def _end(self) -> None:
        exchange = self._exchange
        tokens = exchange.prompt_tokens + exchange.completion_tokens
        self._routing.admission.settle(self._reservation, tokens=tokens)
