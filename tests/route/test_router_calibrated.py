"""The router with what was fitted: thresholds, acceptance, and what one answer says of others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from tiered_server import Rows, Says, chat, chat_server, routing_spec, tiers_of

from pilotage.route.attempt import Role
from pilotage.route.calibration import Calibration
from pilotage.route.calibration.bound import Threshold
from pilotage.route.calibration.calibration import ACCEPT_INPUTS
from pilotage.route.calibration.logistic import Logistic
from pilotage.route.calibration.logprobs import LogprobModel
from pilotage.route.estimate import Estimate
from pilotage.route.router import Router
from pilotage.route.verifiers import build_verifiers

NAMES = ("small", "medium", "large")
SURE = ("q0", "q0.05", "q0.1", "q0.25", "q0.5", "mean", "last", "length")


def logistic(inputs: tuple[str, ...], bias: float = 0.0, **weights: float) -> Logistic:
    return Logistic(
        inputs=inputs,
        mean=(0.0,) * len(inputs),
        scale=(1.0,) * len(inputs),
        weights=tuple(weights.get(name, 0.0) for name in inputs),
        bias=bias,
    )


class Fitted:
    """What the router uses of a calibration. Acceptance is what the log-probabilities say."""

    acceptance = Calibration.acceptance
    after = Calibration.after
    threshold = Calibration.threshold
    usd_weight = Calibration.usd_weight

    def __init__(
        self,
        certified: tuple[str, ...] = NAMES[:2],
        later: dict[str, dict[str, Logistic]] | None = None,
    ) -> None:
        self.completion_tokens = dict.fromkeys(NAMES, 12.0)
        # Sure at a mean of -0.1, unsure at -2.
        sure = LogprobModel(logistic=logistic(SURE, 3.0, mean=3.0), average=0.5)
        self.logprobs = dict.fromkeys(NAMES[:2], sure)
        self.judge: dict[str, Any] = {}
        self.classifier = {"form": "fitted"}
        accept = logistic(ACCEPT_INPUTS, logprobs=1.0)
        self.accept = dict.fromkeys(NAMES[:2], accept)
        self.later = later or {}
        self.thresholds = dict.fromkeys(
            certified, Threshold(value=0.8, accepted=9, rows=10, quality=0.9)
        )
        self.policies: dict[str, Any] = {}
        self.setup = SimpleNamespace(thresholds={})


class Expects:
    async def estimate(self, call: Any) -> Estimate:
        return Estimate(quality={"small": 0.7, "medium": 0.6, "large": 0.65}, note="fitted")


@asynccontextmanager
async def routed(fitted: Any, logprob: float, **spec: Any) -> AsyncIterator[Any]:
    rows = Rows()
    models = {name: Says(text=f"{name} says eight", logprob=logprob) for name in NAMES}
    async with chat_server(**models) as server:
        fields = {"verifier": {"checks": ["logprobs", "judge"]}, "force": True, **spec}
        routing = routing_spec(server.url, NAMES, **fields)
        async with tiers_of(routing, rows) as tiers:
            verifiers = build_verifiers(routing, tiers, fitted)
            router = Router(
                routing, tiers, estimator=Expects(), verifiers=verifiers, calibration=fitted
            )
            yield router, rows


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


@pytest.mark.parametrize("stream", [False, True])
def test_a_sure_answer_is_taken_without_asking_the_judge(stream: bool) -> None:
    async def scenario() -> None:
        async with routed(Fitted(), -0.1, policy="cascade", stream_hold=1) as (router, rows):
            answer = await router.answer(chat(), model="auto", stream=stream)
            assert "".join([chunk.text async for chunk in answer]) == "small says eight"
            (row,) = rows.rows
            assert row.role is Role.ANSWER
            assert row.scores["acceptance"] == pytest.approx(row.scores["logprobs"], abs=0.01)
            assert row.scores["estimate"] == 0.7
            assert answer.predicted == row.scores["acceptance"] > 0.9

    run(scenario())


@pytest.mark.parametrize("stream", [False, True])
def test_an_unsure_one_is_escalated_past_tiers_without_a_certified_threshold(stream: bool) -> None:
    async def scenario() -> None:
        fitted = Fitted(certified=("small",))
        async with routed(fitted, -2.0, policy="cascade", stream_hold=1) as (router, rows):
            answer = await router.answer(chat(), model="auto", stream=stream)
            assert answer.tier == "large"
            assert "".join([chunk.text async for chunk in answer]) == "large says eight"
            draft, taken = rows.rows
            assert draft.role is Role.DRAFT
            assert draft.decision.startswith("escalated: acceptance 0.0")
            assert draft.decision.endswith("< 0.80")
            assert taken.role is Role.ANSWER

    run(scenario())


def test_what_one_answer_says_of_the_others_decides_where_to_go_on() -> None:
    async def scenario() -> None:
        # When small is unsure, large is no better; medium is what it was.
        after = {"large": logistic(("prior", "acceptance"), acceptance=1.0)}
        fitted = Fitted(later={"small": after})
        async with routed(fitted, -2.0, policy="cascade_routing") as (router, rows):
            answer = await router.answer(chat(), model="auto", stream=False)
            assert [chunk async for chunk in answer]
            assert {row.tier for row in rows.rows} == {"small", "medium"}
            # Both are as unsure: of equals the first.
            assert answer.tier == "small"
        async with routed(Fitted(), -2.0, policy="cascade_routing") as (router, rows):
            answer = await router.answer(chat(), model="auto", stream=False)
            assert answer.tier == "large"
            assert "promises 0.65" in answer.decision

    run(scenario())


def test_what_was_expected_of_an_unscored_answer_is_what_audits_are_held_against() -> None:
    async def scenario() -> None:
        async with routed(Fitted(), -2.0, policy="router") as (router, _):
            answer = await router.answer(chat(), model="auto", stream=False)
            assert (answer.tier, answer.predicted) == ("small", 0.7)
            await answer.aclose()

    run(scenario())
