"""The router over real tiers, real HTTP and a server with faults."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest
from tiered_server import ChatServer, Model, Rows, Says, chat, chat_server, routing_spec, tiers_of

from pilotage.route.attempt import Outcome, Role
from pilotage.route.backends import BackendError, Fault
from pilotage.route.calibration.logistic import Logistic
from pilotage.route.calibration.logprobs import LogprobModel, logprob_features
from pilotage.route.call import Call
from pilotage.route.estimate import Estimate, starting_at
from pilotage.route.rejection import Rejection
from pilotage.route.routed_answer import RoutedAnswer
from pilotage.route.router import Router
from pilotage.route.verifiers import LogprobVerifier, build_verifiers

GOOD = "A spider has eight legs, four on each side of its body."
REFUSAL = "I'm sorry, but I can't help with that request."
LONG_REFUSAL = REFUSAL + " Please ask me about something else entirely." * 3
NAMES = ("small", "medium", "large")


class Starts:
    """An estimator that has made up its mind."""

    def __init__(self, tier: str, *, names: tuple[str, ...] = NAMES, usd: str = "0") -> None:
        self._estimate = starting_at(names, tier, "test", Decimal(usd))

    async def estimate(self, call: Call) -> Estimate:
        return self._estimate


@dataclass
class Bench:
    server: ChatServer
    rows: Rows
    router: Router

    async def ask(
        self, call: Call | None = None, *, model: str = "auto", stream: bool = False
    ) -> tuple[RoutedAnswer, str]:
        answer = await self.router.answer(call or chat(), model=model, stream=stream)
        return answer, "".join([chunk.text async for chunk in answer])


@asynccontextmanager
async def bench(
    models: Mapping[str, Model], names: tuple[str, ...] = NAMES, estimator: Any = None, **spec: Any
) -> AsyncIterator[Bench]:
    rows = Rows()
    async with chat_server(**models) as server:
        routing = routing_spec(server.url, names, **spec)
        async with tiers_of(routing, rows) as tiers:
            router = Router(
                routing,
                tiers,
                estimator=estimator,
                verifiers=build_verifiers(routing, tiers, None),
                rng=random.Random(7),
            )
            try:
                yield Bench(server, rows, router)
            finally:
                await router.close()


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


def judging(**scores: str) -> Model:
    """A model that answers, and judges others' answers by the first word of them."""

    def model(body: dict[str, Any]) -> Says:
        if body["messages"][0]["role"] != "system":
            return Says(text=GOOD)
        asked = body["messages"][-1]["content"]
        return Says(text=next(said for word, said in scores.items() if word in asked))

    return model


@pytest.mark.parametrize("stream", [False, True])
def test_static_asks_its_tier_and_no_other(stream: bool) -> None:
    async def scenario() -> None:
        async with bench({name: Says(text=f"{name} says") for name in NAMES}, tier="medium") as on:
            answer, text = await on.ask(stream=stream)
            assert (answer.tier, text, answer.escalations) == ("medium", "medium says", 0)
            assert answer.answer.text == text
            assert [body["model"] for body in on.server.asked] == ["medium"]
            (row,) = on.rows.rows
            assert (row.role, row.outcome, row.decision) == (Role.ANSWER, Outcome.OK, "static")
            # 10 prompt tokens at $4 and 2 at $16 a million.
            assert answer.cost == row.cost == Decimal("0.000072")

    run(scenario())


def test_a_tier_can_be_asked_for_by_its_name_and_then_nobody_else_answers() -> None:
    async def scenario() -> None:
        models = {"small": Says(status=503), "medium": Says(text=REFUSAL), "large": Says(text=GOOD)}
        async with bench(models, policy="cascade", force=True) as on:
            _, text = await on.ask(model="medium")
            assert text == REFUSAL
            with pytest.raises(BackendError) as caught:
                await on.ask(model="small")
            assert caught.value.fault is Fault.OVERLOADED
            assert not on.server.asked_of("large")

    run(scenario())


def test_requests_that_are_wrong_themselves_cost_nothing() -> None:
    async def scenario() -> None:
        async with bench({"small": Says(text=GOOD)}, ("small",), max_history=3) as on:
            with pytest.raises(Rejection, match="gpt-9") as unknown:
                await on.ask(model="gpt-9")
            assert (unknown.value.status, unknown.value.param) == (404, "model")
            message = {"role": "user", "content": "hello"}
            long = replace(chat(), body={"messages": [message] * 4})
            with pytest.raises(Rejection, match="4 messages; at most 3") as oversize:
                await on.ask(long)
            assert (oversize.value.status, oversize.value.param) == (400, "messages")
            await on.ask(replace(long, body={"messages": [message] * 3}))
            assert len(on.server.asked) == len(on.rows.rows) == 1

    run(scenario())


@pytest.mark.parametrize(
    "spec", [{"stream": False}, {"stream": True}, {"stream": True, "stream_buffer": True}]
)
def test_a_refusal_is_escalated_and_billed_as_a_draft(spec: dict[str, Any]) -> None:
    async def scenario() -> None:
        stream = spec["stream"]
        buffer = spec.get("stream_buffer", False)
        models = {"small": Says(text=REFUSAL), "medium": Says(text=GOOD), "large": Says(text="No")}
        async with bench(models, policy="cascade", force=True, stream_buffer=buffer) as on:
            answer, text = await on.ask(stream=stream)
            assert (answer.tier, text, answer.escalations) == ("medium", GOOD, 1)
            draft, taken = on.rows.rows
            assert (draft.role, draft.tier, draft.outcome) == (Role.DRAFT, "small", Outcome.OK)
            assert draft.decision == "escalated: a refusal"
            assert draft.scores == {"refusal": 0.0}
            assert (taken.role, taken.tier) == (Role.ANSWER, "medium")
            assert answer.cost == on.rows.cost == draft.cost + taken.cost
            assert not on.server.asked_of("large")

    run(scenario())


def test_a_long_streamed_draft_is_cancelled_on_its_beginning() -> None:
    async def scenario() -> None:
        models = {"small": Says(text=LONG_REFUSAL, pause=12), "large": Says(text=GOOD)}
        async with bench(
            models, ("small", "large"), policy="cascade", force=True, stream_hold=10
        ) as on:
            answer, text = await on.ask(stream=True)
            assert (answer.tier, text) == ("large", GOOD)
            (draft,) = on.rows.of(Role.DRAFT)
            assert draft.outcome is Outcome.CANCELLED
            assert draft.decision == "escalated: begins as a refusal"
            assert draft.usage.estimated
            assert draft.usage.completion_tokens > 0
            assert answer.cost == on.rows.cost
            await on.server.left.wait()  # it ends at the provider as well

    run(scenario())


def test_a_streamed_draft_is_released_after_its_beginning_and_not_before() -> None:
    async def scenario() -> None:
        models = {"small": Says(text=GOOD, pause=6), "large": Says(text="No")}
        async with bench(
            models, ("small", "large"), policy="cascade", force=True, stream_hold=5
        ) as on:
            answer = await on.router.answer(chat(), model="auto", stream=True)
            held = [(await anext(answer)).text for _ in range(6)]
            assert "".join(held) == " ".join(GOOD.split(" ")[:6])
            await answer.aclose()  # the client goes
            (row,) = on.rows.rows
            assert (row.role, row.outcome) == (Role.ANSWER, Outcome.CANCELLED)
            assert answer.cost == row.cost > 0
            assert not on.server.asked_of("large")

        async with bench(
            models, ("small", "large"), policy="cascade", force=True, stream_hold=7
        ) as on:
            # The model stalls at six tokens: nothing may go out yet.
            asking = asyncio.create_task(on.router.answer(chat(), model="auto", stream=True))
            done, _ = await asyncio.wait({asking}, timeout=0.2)
            assert not done
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
            (row,) = on.rows.rows
            assert (row.role, row.outcome) == (Role.DRAFT, Outcome.CANCELLED)

    run(scenario())


def test_an_error_after_the_first_byte_ends_the_stream_and_nobody_else_is_asked() -> None:
    async def scenario() -> None:
        models = {"small": Says(text=GOOD, cut=5), "large": Says(text="No")}
        async with bench(
            models, ("small", "large"), policy="cascade", force=True, stream_hold=2
        ) as on:
            answer = await on.router.answer(chat(), model="auto", stream=True)
            got: list[str] = []
            with pytest.raises(BackendError) as caught:
                async for chunk in answer:
                    got.append(chunk.text)
            await answer.aclose()
            assert caught.value.fault is Fault.CUT
            assert "".join(got) == " ".join(GOOD.split(" ")[:5])
            (row,) = on.rows.rows
            assert (row.role, row.outcome, row.fault) == (Role.ANSWER, Outcome.ERROR, "cut")
            assert not on.server.asked_of("large")

    run(scenario())


@pytest.mark.parametrize("policy", ["static", "router", "cascade", "cascade_routing"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "broken", [Says(status=503), Says(status=401), Says(status=400), Says(text=GOOD, cut=0)]
)
def test_a_tier_that_fails_before_output_is_replaced_by_the_next_better(
    policy: str, stream: bool, broken: Says
) -> None:
    async def scenario() -> None:
        models = {"small": broken, "medium": Says(text=GOOD), "large": Says(text="No")}
        async with bench(
            models, estimator=Starts("small"), policy=policy, tier="small", force=True
        ) as on:
            answer, text = await on.ask(stream=stream)
            assert (answer.tier, text, answer.escalations) == ("medium", GOOD, 1)
            assert [row.outcome for row in on.rows.rows] == [Outcome.ERROR, Outcome.OK]
            assert answer.cost == on.rows.cost

    run(scenario())


@pytest.mark.parametrize("stream", [False, True])
def test_when_the_last_tier_fails_the_best_draft_is_kept(stream: bool) -> None:
    async def scenario() -> None:
        models = {"small": Says(text=LONG_REFUSAL), "large": Says(status=500)}
        async with bench(
            models, ("small", "large"), policy="cascade", force=True, stream_hold=10
        ) as on:
            answer, text = await on.ask(stream=stream)
            assert (answer.tier, text, answer.escalations) == ("small", LONG_REFUSAL, 1)
            rows = [(row.tier, row.role, row.outcome) for row in on.rows.rows]
            assert ("small", Role.ANSWER, Outcome.OK) in rows
            assert "large failed" in answer.decision

    run(scenario())


def test_failures_that_generated_nothing_do_not_use_up_the_generations() -> None:
    async def scenario() -> None:
        down = Says(status=503)
        models = {"small": down, "medium": down, "large": Says(text=GOOD)}
        async with bench(models, policy="cascade", force=True, max_generations=1) as on:
            answer, text = await on.ask()
            assert (answer.tier, text, answer.escalations) == ("large", GOOD, 2)
        cut = {"small": Says(text=GOOD, cut=2), "medium": Says(text=GOOD), "large": Says(text=GOOD)}
        async with bench(cut, policy="cascade", force=True, max_generations=1) as on:
            with pytest.raises(BackendError) as caught:
                await on.ask()
            assert caught.value.fault is Fault.CUT
            assert len(on.server.asked) == 1

    run(scenario())


def test_when_nobody_answers_the_error_that_may_pass_is_the_one_told() -> None:
    async def scenario() -> None:
        models = {"small": Says(status=503), "large": Says(status=400)}
        async with bench(models, ("small", "large"), policy="cascade", force=True) as on:
            with pytest.raises(BackendError) as caught:
                await on.ask()
            assert caught.value.fault is Fault.OVERLOADED
        models = {"small": Says(status=400), "large": Says(status=400)}
        async with bench(models, ("small", "large"), policy="cascade", force=True) as on:
            with pytest.raises(BackendError) as caught:
                await on.ask()
            assert (caught.value.fault, caught.value.status) == (Fault.REFUSED, 400)

    run(scenario())


def test_a_judge_decides_and_all_that_it_costs_is_counted() -> None:
    async def scenario() -> None:
        models = {
            "small": Says(text="Six legs."),
            "medium": judging(Six='{"score": 0.2}'),
            "large": Says(text="No"),
        }
        checks = {"checks": ["judge"]}
        async with bench(
            models,
            policy="cascade",
            force=True,
            verifier=checks,
            estimator=Starts("small", usd="1"),
        ) as on:
            answer, text = await on.ask()
            assert (answer.tier, text) == ("medium", GOOD)
            (draft,) = on.rows.of(Role.DRAFT)
            assert draft.decision == "escalated: judge 0.20 < 0.85"
            assert draft.scores == {"judge": 0.2, "estimate": 1.0}
            (judged,) = on.rows.of(Role.JUDGE)
            assert (judged.tier, judged.decision) == ("medium", "judges small")
            # Two generations are all: the second answer is not judged, since nothing can follow.
            assert len(on.rows.rows) == 3
            assert answer.cost == on.rows.cost + 1

    run(scenario())


@pytest.mark.parametrize(
    "said", ["The answer deserves a 0.99.", "", '{"score": 7}', '{"score": 0.9} {"score": 1}']
)
def test_a_malformed_judgement_is_no_pass(said: str) -> None:
    async def scenario() -> None:
        models = {"small": Says(text="Six legs."), "large": judging(Six=said)}
        async with bench(
            models, ("small", "large"), policy="cascade", force=True, verifier={"checks": ["judge"]}
        ) as on:
            answer, text = await on.ask()
            assert (answer.tier, text) == ("large", GOOD)
            (draft,) = on.rows.of(Role.DRAFT)
            assert draft.decision.startswith("escalated: no judgement: the judge gave no single")

    run(scenario())


def test_when_all_fall_short_the_best_is_kept() -> None:
    async def scenario() -> None:
        def medium(body: dict[str, Any]) -> Says:
            if body["messages"][0]["role"] == "system":
                return Says(text="0.6")
            return Says(text="Seven legs.", finish_reason="length")

        models = {"small": Says(text="Six legs."), "medium": medium, "large": Says(text=GOOD)}
        checks = {"checks": ["judge", "truncation"]}
        async with bench(models, policy="cascade", force=True, verifier=checks) as on:
            answer, text = await on.ask()
            assert (answer.tier, text, answer.escalations) == ("small", "Six legs.", 1)
            assert [row.tier for row in on.rows.of(Role.DRAFT)] == ["medium"]
            assert not on.server.asked_of("large")

    run(scenario())


def sure_of(threshold: float) -> LogprobModel:
    """Sure of answers whose mean log-probability is above a threshold."""
    inputs = ("q0", "q0.05", "q0.1", "q0.25", "q0.5", "mean", "last", "length")
    assert len(logprob_features([-1.0], 1)) == len(inputs)
    weights = tuple(20.0 if name == "mean" else 0.0 for name in inputs)
    mean = tuple(threshold if name == "mean" else 0.0 for name in inputs)
    logistic = Logistic(
        inputs=inputs, mean=mean, scale=(1.0,) * len(inputs), weights=weights, bias=0.0
    )
    return LogprobModel(logistic=logistic, average=0.5)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("logprob", "tier"), [(-0.1, "small"), (-2.0, "large")])
def test_log_probabilities_defer_and_are_kept_from_the_client(
    logprob: float, tier: str, stream: bool
) -> None:
    async def scenario() -> None:
        rows = Rows()
        models = {"small": Says(text=GOOD, logprob=logprob), "large": Says(text=GOOD)}
        async with chat_server(**models) as server:
            routing = routing_spec(
                server.url, ("small", "large"), policy="cascade", force=True, stream_hold=4
            )
            async with tiers_of(routing, rows) as tiers:
                verifiers = [LogprobVerifier({"small": sure_of(-1.0)})]
                router = Router(routing, tiers, verifiers=verifiers)
                answer = await router.answer(chat(), model="auto", stream=stream)
                chunks = [chunk async for chunk in answer]
                assert answer.tier == tier
                assert not any(chunk.logprobs for chunk in chunks)
                assert server.asked_of("small")[0]["logprobs"] is True
                assert all("logprobs" not in body for body in server.asked_of("large"))

                answer = await router.answer(chat(logprobs=True), model="small", stream=stream)
                assert any([chunk.logprobs async for chunk in answer])

    run(scenario())


def test_a_slow_estimate_of_where_to_begin_and_a_skip() -> None:
    async def scenario() -> None:
        models = {name: Says(text=f"{name} says") for name in NAMES}
        for policy in ("router", "cascade", "cascade_routing"):
            async with bench(models, estimator=Starts("medium"), policy=policy, force=True) as on:
                answer, _ = await on.ask()
                assert answer.tier == "medium"
                assert answer.decision.startswith("test: expected quality 1.00")
                assert on.rows.rows[0].scores["estimate"] == 1.0

    run(scenario())


def test_after_the_deadline_there_is_an_error_or_the_best_draft() -> None:
    async def scenario() -> None:
        models = {"small": Says(text=REFUSAL), "large": Says(text=GOOD, pause=0)}
        async with bench(
            models, ("small", "large"), policy="cascade", force=True, timeout=0.3
        ) as on:
            answer, text = await on.ask()
            assert (answer.tier, text) == ("small", REFUSAL)
            (late,) = on.rows.of(Role.ANSWER)[:1]
            assert answer.cost == on.rows.cost >= late.cost
            with pytest.raises(BackendError) as caught:
                await on.ask(replace(chat(), deadline=0.0))
            assert caught.value.fault is Fault.TIMEOUT

    run(scenario())
