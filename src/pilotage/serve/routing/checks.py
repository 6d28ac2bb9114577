"""What is wrong with a ``routing:`` section, said before any process is started."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from pilotage.fetch import default_home
from pilotage.route.answer import Chunk
from pilotage.route.attempt import Attempt
from pilotage.route.call import Call
from pilotage.route.pricing import TierPrice
from pilotage.serve.routing.served import check_names
from pilotage.spec import Deployment
from pilotage.spec.tiers import BackendSpec


def check_routing(deployment: Deployment, environ: Mapping[str, str]) -> dict[str, TierPrice]:
    """Check the ``routing:`` section, if there is one.

    Args:
        deployment: The spec.
        environ: Environment variables; keys come from there and from nowhere else.

    Returns:
        What each tier costs.

    Raises:
        UsageError: Names do not fit together, credentials are missing, a price is unknown, or the
            policy has not been shown to save.
        StoreError: The ledger cannot be opened.
    """
    routing = deployment.routing
    if routing is None:
        return {}
    check_names(deployment)
    # Here, so that a server without routing imports none of it.
    from pilotage.route.assembly import assemble  # noqa: PLC0415
    from pilotage.route.backends.build import build_tiers  # noqa: PLC0415
    from pilotage.route.ledger import open_ledger  # noqa: PLC0415
    from pilotage.route.prices import tier_price  # noqa: PLC0415

    home = default_home()
    prices = {tier.name: tier_price(tier, home=home) for tier in routing.tiers}
    sink = _Nowhere()
    tiers = build_tiers(routing, sink=sink, prices=prices, local=_Nobody, environ=environ)
    assemble(routing, environ=environ, sink=sink, tiers=tiers)
    open_ledger(routing.ledger, environ).close()
    return prices


class _Nowhere:
    """Takes attempts that nobody makes."""

    def record(self, attempt: Attempt) -> None:
        del attempt


class _Nobody:
    """Stands for a backend of a model that is not yet there."""

    def __init__(self, spec: BackendSpec, name: str) -> None:
        del spec
        self.name = name

    def complete(self, call: Call) -> AsyncGenerator[Chunk, None]:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is there."""
