"""Whatever the tiers do: one tier's answer or an error, and every cent accounted for."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tiered_server import PROMPT_TOKENS, Rows, Says, chat, chat_server, routing_spec, tiers_of

from pilotage.route.attempt import Outcome, Role
from pilotage.route.backends import BackendError
from pilotage.route.estimate import Estimate
from pilotage.route.router import Router
from pilotage.route.verifiers import build_verifiers

NAMES = ("small", "medium", "large")
REFUSAL = "I'm sorry, but I can't help with that: {name} does not do such things, not ever."
ANSWER = "{name} says that a spider has eight legs, and that an insect has six of them."

texts = st.sampled_from([ANSWER, REFUSAL, "{name}", "```\n{name} forgot to close this", ""])
models = st.builds(
    Says,
    text=texts,
    finish_reason=st.sampled_from(["stop", "stop", "length"]),
    status=st.sampled_from([200, 200, 200, 400, 401, 429, 500, 503]),
    cut=st.sampled_from([None, None, None, 0, 1, 7]),
)


class Expects:
    def __init__(self, quality: tuple[float, ...]) -> None:
        self._quality = dict(zip(NAMES, quality, strict=True))

    async def estimate(self, call: Any) -> Estimate:
        return Estimate(quality=self._quality, note="test")


@settings(max_examples=120, deadline=None)
@given(
    says=st.tuples(models, models, models),
    policy=st.sampled_from(["static", "router", "cascade", "cascade_routing"]),
    quality=st.none() | st.tuples(*[st.floats(0, 1)] * 3),
    stream=st.booleans(),
    hold=st.sampled_from([0, 3, 48]),
    buffer=st.booleans(),
    most=st.integers(1, 3),
    reads=st.integers(0, 30),
)
def test_any_faults(
    *,
    says: tuple[Says, ...],
    policy: str,
    quality: tuple[float, ...] | None,
    stream: bool,
    hold: int,
    buffer: bool,
    most: int,
    reads: int,
) -> None:
    named = {
        name: Says(
            text=one.text.format(name=name),
            finish_reason=one.finish_reason,
            status=one.status,
            cut=one.cut,
        )
        for name, one in zip(NAMES, says, strict=True)
    }

    async def scenario() -> None:
        rows = Rows()
        async with chat_server(**named) as server:
            routing = routing_spec(
                server.url,
                NAMES,
                policy=policy,
                tier="small",
                force=True,
                stream_hold=hold,
                stream_buffer=buffer,
                max_generations=most,
            )
            async with tiers_of(routing, rows) as tiers:
                estimator = None if quality is None else Expects(quality)
                verifiers = build_verifiers(routing, tiers, None)
                router = Router(routing, tiers, estimator=estimator, verifiers=verifiers)
                text, whole, tier = "", False, None
                try:
                    answer = await router.answer(chat(), model="auto", stream=stream)
                    tier = answer.tier
                    async for chunk in answer:
                        text += chunk.text
                        reads_left = reads - len(text.split(" "))
                        if reads_left < 0:  # the client goes
                            break
                    else:
                        whole = True
                    await answer.aclose()
                except BackendError:
                    pass
                await router.close()
                if tier is not None:
                    assert answer.cost == rows.cost
                    assert answer.escalations == len(server.asked) - 1
                    # Nothing of anybody else, whole or broken off.
                    assert named[tier].text.startswith(text)
                    assert answer.tier == tier
                    assert text == named[tier].text or not whole
                asked = Counter(body["model"] for body in server.asked)
                assert set(asked.values()) <= {1}
                assert len({row.id for row in rows.rows}) == len(rows.rows) == asked.total()
                generated = [row for row in rows.rows if row.usage.completion_tokens]
                assert len(generated) <= most
                answers = [row for row in rows.of(Role.ANSWER) if row.outcome is not Outcome.ERROR]
                assert [row.tier for row in answers] in ([], [tier])
                for row in rows.rows:
                    if row.outcome is Outcome.OK:
                        tokens = len(named[row.tier].tokens) if named[row.tier].text else 0
                        assert row.usage.prompt_tokens == PROMPT_TOKENS
                        assert row.usage.completion_tokens == tokens
                        assert row.cost == tiers[row.tier].price.cost(row.usage)

    asyncio.run(asyncio.wait_for(scenario(), 20))
