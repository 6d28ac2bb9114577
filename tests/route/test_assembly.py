"""From a section to a router: what is said when the calibration is older than the prices."""

from __future__ import annotations

import logging
from decimal import Decimal
from types import SimpleNamespace

import pytest

from pilotage.route import assembly
from pilotage.route.calibration import Calibration
from pilotage.spec.routing import RoutingSpec


class Nowhere:
    """Takes attempts that nobody makes."""

    def record(self, attempt: object) -> None:
        raise AssertionError(attempt)


def section(**more: object) -> RoutingSpec:
    backend = {"kind": "openai", "url": "http://127.0.0.1:9/v1", "model": "m"}
    tier = {"name": "small", "price": {"input": 1, "output": 2}, "backends": [backend]}
    return RoutingSpec.model_validate({"tiers": [tier], **more})


@pytest.mark.parametrize("stale", [(), ("small",)])
def test_a_calibration_at_other_prices_is_said_to_be_one(
    stale: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path,
) -> None:
    asked = []

    def stale_prices(prices):
        asked.append({name: price.input for name, price in prices.items()})
        return stale

    found = SimpleNamespace(stale_prices=stale_prices, completion_tokens={})
    monkeypatch.setattr(Calibration, "load", staticmethod(lambda path: found))
    monkeypatch.setattr(assembly, "check_policy", lambda routing, calibration: None)
    monkeypatch.setattr(assembly, "build_verifiers", lambda *_: ())
    monkeypatch.setattr(assembly, "Router", lambda *_, **more: more)
    with caplog.at_level(logging.WARNING):
        made = assembly.assemble(
            section(calibration=str(tmp_path / "c.json")), environ={}, sink=Nowhere()
        )
    assert made["calibration"] is found
    assert asked == [{"small": Decimal(1)}]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * len(stale)
    assert all("calibrate again" in record.getMessage() for record in caplog.records)
