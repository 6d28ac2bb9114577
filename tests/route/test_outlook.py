"""What asking is expected to cost, and how long it takes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tiered_server import chat

from pilotage.route.answer import Usage
from pilotage.route.attempt import Attempt, Outcome, Role
from pilotage.route.outlook import Outlook
from pilotage.route.pricing import TierPrice

PRICE = TierPrice(
    input=Decimal(1), output=Decimal(10), cache_read=Decimal(1), cache_write=Decimal(1)
)


def attempt(tokens: int, latency_s: float, outcome: Outcome = Outcome.OK) -> Attempt:
    fields: dict[str, Any] = {
        "tier": "a",
        "backend": "a/0",
        "asked_model": "m",
        "served_model": "m",
    }
    return Attempt(
        id="1",
        request_id="r",
        at=0.0,
        key_id=None,
        role=Role.ANSWER,
        usage=Usage(completion_tokens=tokens),
        cost=Decimal(0),
        latency_s=latency_s,
        ttft_s=None,
        outcome=outcome,
        **fields,
    )


def test_cost_follows_the_prompt_the_bound_and_the_mean_answer() -> None:
    outlook = Outlook({"a": PRICE, "b": PRICE}, {"a": 100.0})
    # 4,000 characters are 1,001 tokens; b was never seen: 256 tokens.
    call = chat("x" * 4000)
    assert outlook.cost(call) == pytest.approx({"a": 2001e-6, "b": 3561e-6})
    assert outlook.cost(chat("x" * 4000, max_tokens=10))["a"] == pytest.approx(1101e-6)


def test_what_is_calibrated_stays_and_the_rest_is_learnt() -> None:
    outlook = Outlook({"a": PRICE}, {})
    assert outlook.latency_s() == {}
    for _ in range(200):
        outlook.learn(attempt(40, 2.0))
    outlook.learn(attempt(10**6, 1000.0, Outcome.CANCELLED))
    assert outlook.latency_s() == pytest.approx({"a": 2.0})
    assert outlook.cost(chat(""))["a"] == pytest.approx(401e-6)
    outlook.learn(attempt(60, 4.0))
    assert outlook.latency_s()["a"] == pytest.approx(2.1)

    calibrated = Outlook({"a": PRICE}, {"a": 100.0})
    calibrated.learn(attempt(40, 2.0))
    assert calibrated.cost(chat(""))["a"] == pytest.approx(1001e-6)
