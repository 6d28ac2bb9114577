"""From a ``routing:`` section to what the gateway routes with."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pilotage.route.assembly import assemble
from pilotage.route.backends.build import build_tiers
from pilotage.route.ledger import Budgets, open_ledger
from pilotage.route.pricing import TierPrice
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.routing.admission import Admission
from pilotage.serve.routing.local import LocalBackend
from pilotage.serve.routing.metrics import RouteMetrics
from pilotage.serve.routing.routing import Routing
from pilotage.serve.routing.served import local_model
from pilotage.spec import Deployment
from pilotage.spec.routing import RoutingSpec
from pilotage.spec.tiers import BackendSpec


def open_routing(
    context: GatewayContext,
    deployment: Deployment,
    routing: RoutingSpec,
    prices: Mapping[str, TierPrice],
    *,
    environ: Mapping[str, str],
    created: int,
) -> Routing:
    """What answers routed requests.

    Args:
        context: The gateway's, for its own models.
        deployment: The spec.
        routing: Its section.
        prices: What each tier costs, as the launch found out.
        environ: Environment variables: keys of providers.
        created: When the server was started, Unix seconds.

    Raises:
        PilotageError: What the launch has checked does not hold any more.
    """

    def local(spec: BackendSpec, name: str) -> LocalBackend:
        return LocalBackend(name, context, local_model(spec, deployment))

    ledger = open_ledger(routing.ledger, environ)
    metrics = RouteMetrics(ledger)
    tiers = build_tiers(routing, sink=metrics, prices=prices, local=local, environ=environ)
    metrics.watch(tiers)
    router = assemble(routing, environ=environ, sink=metrics, tiers=tiers, on_alert=metrics.alerted)
    return Routing(
        model=routing.model,
        tiers=tiers,
        router=router,
        ledger=ledger,
        metrics=metrics,
        admission=Admission(Budgets(ledger), _prices(routing, prices)),
        raw={
            name: tiers[tier]
            for name, tier in _passed_through(routing).items()
            if tiers[tier].forwards
        },
        remote=frozenset(
            f"{tier.name}/{index}"
            for tier in routing.tiers
            for index, backend in enumerate(tier.backends)
            if backend.kind != "local"
        ),
        max_history=routing.max_history,
        timeout_s=routing.timeout,
        created=created,
    )


def _passed_through(routing: RoutingSpec) -> dict[str, str]:
    """The tier behind each name whose answers nobody judges or compares."""
    names = {name: name for name in routing.tier_names}
    watched = routing.shadow_share or routing.judge_share
    if routing.policy == "static" and not watched:
        names[routing.model] = routing.tier or routing.tier_names[-1]
    return names


def _prices(
    routing: RoutingSpec, prices: Mapping[str, TierPrice]
) -> dict[str, Collection[TierPrice]]:
    """The prices of the tiers that a name may lead to."""
    behind: dict[str, Collection[TierPrice]] = {name: (prices[name],) for name in prices}
    every = tuple(prices.values())
    if routing.policy == "static":
        every = (prices[routing.tier or routing.tier_names[-1]],)
    return {**behind, routing.model: every}
