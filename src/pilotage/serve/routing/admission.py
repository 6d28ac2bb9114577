"""Whether a routed request may go on: what its key may still spend, and how the server is."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from pilotage.route.answer import Usage
from pilotage.route.ledger.budgets import Budgets, Exhausted, Reservation
from pilotage.route.pricing import TierPrice
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.errors import ApiError
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.submission import charge_prompt
from pilotage.serve.routing.headers import money_text

if TYPE_CHECKING:
    from collections.abc import Collection

_EXPECTED_TOKENS: Final = 512
"""Completion tokens that are kept room for where a request does not bound them."""

_PERIODS: Final = {
    "usd_per_day": "a day",
    "usd_per_month": "a month",
    "requests_per_minute": "requests a minute",
    "tokens_per_minute": "tokens a minute",
}


class Admission:
    """Admits routed requests.

    Args:
        budgets: What keys may still spend.
        prices: Of the tiers that a name may lead to, by the name.
    """

    def __init__(self, budgets: Budgets, prices: dict[str, Collection[TierPrice]]) -> None:
        self._budgets = budgets
        self._prices = prices
        self.draining = False

    def admit(
        self,
        context: GatewayContext,
        exchange: Exchange,
        name: str,
        *,
        prompt_tokens: int,
        max_tokens: int | None,
    ) -> Reservation | None:
        """Take a request out of its key's limits, until `settle`.

        Args:
            context: The gateway's.
            exchange: The request's.
            name: The model that it asks for.
            prompt_tokens: Of its prompt, estimated.
            max_tokens: The longest answer that it wants, if it says so.

        Returns:
            What is kept for it; None for keys without limits.

        Raises:
            ApiError: 402, a dollar limit is reached; 429, a limit a minute; 503, draining.
        """
        if self.draining:
            raise ApiError(
                "The server is shutting down.",
                status=503,
                code="server_draining",
                retry_after_s=1.0,
                # So that the next request finds another server behind the load balancer.
                headers={"connection": "close"},
            )
        key = exchange.key
        if key is None:
            return None
        limits = key.limits
        if not any(getattr(limits, name) for name in _PERIODS):
            return None
        charge_prompt(context, exchange, prompt_tokens)
        completion = _EXPECTED_TOKENS if max_tokens is None else max_tokens
        usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=completion)
        estimate = max((price.cost(usage) for price in self._prices[name]), default=Decimal(0))
        now = time.time()
        verdict = self._budgets.reserve(
            key.id, limits, estimate, now, tokens=prompt_tokens + completion
        )
        if isinstance(verdict, Exhausted):
            raise refusal(verdict, now)
        return verdict

    def settle(self, reservation: Reservation | None, *, tokens: int) -> None:
        """The request is over, its attempts are recorded."""
        if reservation is not None:
            self._budgets.settle(reservation, tokens=tokens)


def refusal(found: Exhausted, now: float) -> ApiError:
    """What a key is told whose limit is reached."""
    in_dollars = found.resource.startswith("usd")
    period = _PERIODS[found.resource]
    spent, limit = (
        (f"${money_text(Decimal(found.spent))}", f"${money_text(Decimal(found.limit))}")
        if in_dollars
        else (str(found.spent), str(found.limit))
    )
    status, code = (402, "budget_exhausted") if in_dollars else (429, "rate_limit_exceeded")
    if found.reset_at is None:
        return ApiError(
            f"This request may need more than this key's limit of {limit} {period}.",
            status=status,
            code=code,
            headers={"x-should-retry": "false"},
        )
    reset = datetime.fromtimestamp(math.ceil(found.reset_at), UTC).isoformat()
    return ApiError(
        f"This key has spent {spent} of its {limit} {period}, what is going on included. "
        f"There is room again from {reset.replace('+00:00', 'Z')} on.",
        status=status,
        code=code,
        retry_after_s=max(0.0, found.reset_at - now),
        # A reset that is hours away is nothing for a client to wait for by itself.
        headers={"x-should-retry": "false"} if in_dollars else {},
    )
