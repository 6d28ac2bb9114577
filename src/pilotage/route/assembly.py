"""From a ``routing:`` section to a router that answers; gateway and Lambda handler alike."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import assert_never

from pilotage.errors import UsageError
from pilotage.route.attempt import AttemptSink
from pilotage.route.backends.backend import Backend
from pilotage.route.backends.build import build_tiers
from pilotage.route.backends.tier import Tier
from pilotage.route.calibration import Calibration, check_policy
from pilotage.route.drift import Alert
from pilotage.route.estimators import Estimator
from pilotage.route.estimators.fitted import FittedEstimator
from pilotage.route.estimators.llm import LlmEstimator
from pilotage.route.estimators.rules import RulesEstimator
from pilotage.route.router import Router
from pilotage.route.verifiers import build_verifiers
from pilotage.spec.routing import RoutingSpec
from pilotage.spec.tiers import BackendSpec

_LOG = logging.getLogger(__name__)


def assemble(
    routing: RoutingSpec,
    *,
    environ: Mapping[str, str],
    sink: AttemptSink,
    local: Callable[[BackendSpec, str], Backend] | None = None,
    tiers: Mapping[str, Tier] | None = None,
    on_alert: Callable[[Alert], None] | None = None,
) -> Router:
    """The router that a ``routing:`` section describes. It opens no connection yet.

    Args:
        routing: The section.
        environ: Environment variables: API keys.
        sink: Gets every attempt.
        local: Makes a backend of this server's own model, given its spec and name; None where
            there is no server.
        tiers: Its tiers, where they are built already.
        on_alert: Told when the calibration has left its bound; it is logged anyway.

    Raises:
        UsageError: The policy has not been shown to win, the calibration is for something else, an
            API key is missing, or a local backend has no server.
        UnknownPriceError: Nobody says what a tier costs.
    """
    calibration = None if routing.calibration is None else Calibration.load(routing.calibration)
    check_policy(routing, calibration)
    if tiers is None:
        tiers = build_tiers(routing, sink=sink, local=local, environ=environ)
    if calibration is not None:
        prices = {name: tier.price for name, tier in tiers.items()}
        for name in calibration.stale_prices(prices):
            _LOG.warning(
                "the price of the tier %s is not the one that %s was made at; calibrate again",
                name,
                routing.calibration,
            )
    return Router(
        routing,
        tiers,
        estimator=_estimator(routing, tiers, calibration),
        verifiers=build_verifiers(routing, tiers, calibration),
        calibration=calibration,
        on_alert=on_alert,
    )


def _estimator(
    routing: RoutingSpec, tiers: Mapping[str, Tier], calibration: Calibration | None
) -> Estimator | None:
    spec = routing.estimator
    match spec.kind:
        case "none":
            return None
        case "rules":
            return RulesEstimator(routing.tier_names, spec.rules)
        case "classifier":
            if calibration is None:
                raise UsageError(
                    "the classifier is fitted on your data, and there is no calibration",
                    where="routing.estimator.kind",
                    hint="Name the file that pilotage route calibrate wrote in routing.calibration",
                )
            return FittedEstimator.of(calibration)
        case "llm":
            return LlmEstimator(tiers, spec.tier)
        case unknown:
            assert_never(unknown)
