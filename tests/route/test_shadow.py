"""Shadows and audits: in the background, bounded, and never in the way."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tiered_server import ChatServer, Model, Rows, Says, chat, chat_server, routing_spec, tiers_of

from pilotage.route.attempt import Outcome, Role
from pilotage.route.drift import Alert
from pilotage.route.router import Router
from pilotage.route.shadow import Afterwards, falls_on
from pilotage.route.verifiers import build_verifiers

NAMES = ("small", "large")


@asynccontextmanager
async def routed(
    alerts: list[Alert], large: Model, **spec: Any
) -> AsyncIterator[tuple[Router, Rows, ChatServer]]:
    rows = Rows()
    async with chat_server(small=Says(text="Eight legs."), large=large) as server:
        routing = routing_spec(server.url, NAMES, **{"tier": "small", **spec})
        async with tiers_of(routing, rows) as tiers:
            router = Router(
                routing,
                tiers,
                verifiers=build_verifiers(routing, tiers, None),
                rng=random.Random(1),
                on_alert=alerts.append,
            )
            try:
                yield router, rows, server
            finally:
                await router.close()


async def ask(router: Router, **fields: Any) -> str:
    model = fields.pop("model", "auto")
    answer = await router.answer(chat(**fields), model=model, stream=True)
    return "".join([chunk.text async for chunk in answer])


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


def test_a_share_of_the_requests_is_also_answered_by_the_last_tier() -> None:
    async def scenario() -> None:
        async with routed([], Says(text="It has eight."), shadow_share=0.4) as on:
            router, rows, _ = on
            for index in range(60):
                assert await ask(router, request_id=f"r{index}") == "Eight legs."
            salt = random.Random(1).randbytes(16) + b"shadow"
            shadowed = {f"r{index}" for index in range(60) if falls_on(f"r{index}", salt, 0.4)}
            assert 10 < len(shadowed) < 40
            await rows.until(60 + len(shadowed))
            found = rows.of(Role.SHADOW)
            assert {row.request_id for row in found} == shadowed
            assert {(row.tier, row.decision) for row in found} == {("large", "shadows small")}

    run(scenario())


def test_what_the_last_tier_answered_needs_no_shadow_nor_what_was_asked_for_by_name() -> None:
    async def scenario() -> None:
        async with routed([], Says(text="Eight."), shadow_share=1.0, tier="large") as on:
            await ask(on[0])
        assert [row.role for row in on[1].rows] == [Role.ANSWER]
        async with routed([], Says(text="Eight."), shadow_share=1.0) as on:
            await ask(on[0], model="small")
        assert [row.role for row in on[1].rows] == [Role.ANSWER]

    run(scenario())


def test_a_shadow_that_hangs_or_fails_is_in_nobodys_way() -> None:
    async def scenario() -> None:
        async with routed([], Says(text="It has", pause=1), shadow_share=1.0) as on:
            router, rows, server = on
            for index in range(40):
                await ask(router, request_id=str(index))
            await server.paused.wait()
        # 32 were running, the others were left out; closing has cancelled and billed them.
        found = rows.of(Role.SHADOW)
        assert 0 < len(found) <= 32
        assert {row.outcome for row in found} == {Outcome.CANCELLED}
        async with routed([], Says(status=500), shadow_share=1.0) as on:
            assert await ask(on[0]) == "Eight legs."
            await on[1].until(2)
        assert on[1].of(Role.SHADOW)[0].outcome is Outcome.ERROR

    run(scenario())


def test_audits_that_contradict_the_predictions_raise_an_alert(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = 0

    def large(body: dict[str, Any]) -> Says:
        # It judges each answer twice: when it is taken, and afterwards, when it knows better.
        nonlocal calls
        calls += 1
        return Says(text="0.95" if calls % 2 else "0.1")

    async def scenario() -> None:
        alerts: list[Alert] = []
        spec = {
            "policy": "cascade",
            "force": True,
            "verifier": {"checks": ["judge"]},
            "judge_share": 1.0,
            "stream_buffer": True,
        }
        async with routed(alerts, large, **spec) as on:
            router, rows, _ = on
            for index in range(60):
                await ask(router, request_id=str(index))
                await rows.until(3 * (index + 1))
                if alerts:
                    break
        assert len(alerts) == 1
        assert alerts[0].tier == "small"
        assert alerts[0].predicted == pytest.approx(0.95)
        assert alerts[0].audited == pytest.approx(0.1)
        assert len(rows.of(Role.AUDIT)) == alerts[0].audits

    with caplog.at_level(logging.WARNING, "pilotage.route"):
        run(scenario())
    assert "worse than was predicted" in caplog.text


def test_a_judge_in_prose_is_no_audit() -> None:
    async def scenario() -> None:
        alerts: list[Alert] = []
        async with routed(alerts, Says(text="Lovely."), judge_share=1.0) as on:
            for index in range(5):
                await ask(on[0], request_id=str(index))
            await on[1].until(10)
        assert len(on[1].of(Role.AUDIT)) == 5
        assert not alerts

    run(scenario())


def test_shares_are_shares_and_fall_apart() -> None:
    ids = [str(index) for index in range(4000)]
    assert not any(falls_on(one, b"a", 0.0) for one in ids)
    assert all(falls_on(one, b"a", 1.0) for one in ids)
    first = {one for one in ids if falls_on(one, b"a", 0.25)}
    other = {one for one in ids if falls_on(one, b"b", 0.25)}
    assert len(first) / 4000 == pytest.approx(0.25, abs=0.04)
    assert len(first & other) / 4000 == pytest.approx(0.0625, abs=0.03)
    assert first == {one for one in ids if falls_on(one, b"a", 0.25)}


def test_no_more_run_at_once_than_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with chat_server(small=Says(text="a"), large=Says(text="b", pause=0)) as server:
            rows = Rows()
            routing = routing_spec(server.url, NAMES, shadow_share=1.0)
            async with tiers_of(routing, rows) as tiers:
                judge: Any = None
                afterwards = Afterwards(routing, tiers["large"], judge, b"", None)
                for index in range(50):
                    answer: Any = None
                    afterwards.consider(chat(request_id=str(index)), "small", answer, None)
                await afterwards.close()
                assert len(rows.rows) <= 32

    run(scenario())
    assert [record.message for record in caplog.records] == [
        "32 shadows and audits are running; others are left out"
    ]
