"""From the spec to a policy."""

from __future__ import annotations

import pytest

from pilotage.route.policies import Cascade, CascadeRouting, PreRouter, Static, build_policy
from pilotage.spec.routing import RoutingSpec


def spec(**fields: object) -> RoutingSpec:
    tiers = [
        {
            "name": name,
            "backends": [{"kind": "openai", "url": "http://localhost:9/v1", "model": name}],
        }
        for name in ("a", "b", "c", "d", "e")
    ]
    return RoutingSpec.model_validate({"tiers": tiers, **fields})


@pytest.mark.parametrize(
    ("fields", "policy"),
    [
        ({}, Static("e")),
        ({"tier": "b"}, Static("b")),
        ({"policy": "router"}, PreRouter(0.0)),
    ],
)
def test_without_a_calibration(fields: dict[str, object], policy: object) -> None:
    assert build_policy(spec(**fields), None) == policy


def test_thresholds_are_the_specs_or_rise_from_085() -> None:
    thresholds = {"a": 0.85, "b": 0.3, "c": 0.95, "d": 0.95}
    fields = {"verifier": {"thresholds": {"b": 0.3}}, "latency_weight": 0.5}
    assert build_policy(spec(policy="cascade", **fields), None) == Cascade(thresholds, 0.0)
    routing = spec(policy="cascade_routing", **fields)
    assert build_policy(routing, None) == CascadeRouting(0.0, 0.5, thresholds)
