"""The policy of a spec."""

from __future__ import annotations

from pilotage.route.calibration.calibration import Calibration
from pilotage.route.policies.cascade import Cascade
from pilotage.route.policies.cascade_routing import CascadeRouting
from pilotage.route.policies.policy import Policy
from pilotage.route.policies.router import PreRouter
from pilotage.route.policies.static import Static
from pilotage.spec.routing import RoutingSpec


def build_policy(routing: RoutingSpec, calibration: Calibration | None) -> Policy:
    """The policy that a spec names, with its calibration's figures if there is one."""
    usd_weight = 0.0 if calibration is None else calibration.usd_weight(routing.policy)
    match routing.policy:
        case "static":
            return Static(routing.tier or routing.tier_names[-1])
        case "router":
            return PreRouter(usd_weight)
        case "cascade":
            return Cascade(thresholds_of(routing, calibration), usd_weight)
        case "cascade_routing":
            return CascadeRouting(
                usd_weight,
                routing.latency_weight,
                thresholds_of(routing, None) if calibration is None else {},
            )


def thresholds_of(routing: RoutingSpec, calibration: Calibration | None) -> dict[str, float]:
    """Least score of an answer that is taken, by tier except the last.

    The spec's own; else the calibration's, where a tier without a certified one is not in it; else
    0.85, 0.90, 0.95 and 0.95 from there on.
    """
    thresholds: dict[str, float] = {}
    for index, tier in enumerate(routing.tier_names[:-1]):
        value = routing.verifier.thresholds.get(tier)
        if value is None and calibration is not None:
            value = calibration.threshold(tier)
        elif value is None:
            value = min(0.85 + 0.05 * index, 0.95)
        if value is not None:
            thresholds[tier] = round(value, 12)
    return thresholds
