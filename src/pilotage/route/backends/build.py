"""Tiers from the spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pilotage.route.attempt import AttemptSink
from pilotage.route.backends.backend import Backend
from pilotage.route.backends.tier import Tier
from pilotage.route.pricing import TierPrice
from pilotage.spec.routing import RoutingSpec
from pilotage.spec.tiers import BackendSpec


def build_tiers(
    routing: RoutingSpec,
    *,
    sink: AttemptSink,
    prices: Mapping[str, TierPrice] | None = None,
    local: Callable[[BackendSpec, str], Backend] | None = None,
    environ: Mapping[str, str],
) -> dict[str, Tier]:
    """The tiers of a ``routing:`` section, in its order.

    Args:
        routing: The section.
        sink: Gets their attempts.
        prices: By tier; those missing are looked up (`pilotage.route.prices.tier_price`).
        local: Makes a backend of this server's own model, given its spec and name; None where
            there is no server.
        environ: Environment variables, for the keys.

    Raises:
        UsageError: An API key is not there, or a local backend without a server; names the tier,
            the backend and the variable.
        UnknownPriceError: Nobody says what a tier costs.
    """
    raise NotImplementedError
