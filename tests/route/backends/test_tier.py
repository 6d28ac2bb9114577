"""A tier over real servers: who is asked, how often, and the row that each attempt becomes."""

import asyncio
import gc
import time
from collections.abc import AsyncGenerator
from decimal import Decimal

import pytest
from chat_faults import (
    PRICE,
    Rows,
    call,
    chat_server,
    posted,
    tier_of,
)

from pilotage.route.answer import Chunk, Usage
from pilotage.route.attempt import Outcome, Role
from pilotage.route.backends.attempt_stream import AttemptStream
from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.breaker import BreakerState
from pilotage.route.backends.tier import Tier
from pilotage.route.call import Call
from pilotage.spec.tiers import TierSpec

TOLD = Usage(prompt_tokens=20, completion_tokens=5, cache_read_tokens=8)
COST = (12 * Decimal("1") + 8 * Decimal("0.1") + 5 * Decimal("4")) / 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Scripted:
    """A backend without a server, for what no server can be made to do."""

    def __init__(self, *pieces: Chunk | BaseException | float) -> None:
        self.name = "t/0"
        self.pieces = pieces
        self.closed = 0

    async def complete(self, call: Call) -> AsyncGenerator[Chunk, None]:
        del call
        try:
            for piece in self.pieces:
                if isinstance(piece, float):
                    await asyncio.sleep(piece)
                elif isinstance(piece, BaseException):
                    raise piece
                else:
                    yield piece
        finally:
            self.closed += 1

    async def close(self) -> None:
        self.closed += 1


def scripted(rows: Rows, one: Scripted, **spec: object) -> Tier:
    limits = {"timeout": "100ms", "first_token_timeout": "50ms"}
    parsed = TierSpec.model_validate({"name": "t", "backends": [limits], **spec})
    return Tier(parsed, [one], PRICE, rows, uniform=lambda low, high: low)


async def text_of(stream: AttemptStream) -> str:
    async with stream:
        return "".join([chunk.text async for chunk in stream])


async def fault_of(stream: AttemptStream) -> BackendError:
    with pytest.raises(BackendError) as caught:
        await text_of(stream)
    return caught.value


def test_an_answer_is_a_row() -> None:
    async def run() -> None:
        rows = Rows()
        async with chat_server() as server:
            tier = tier_of(rows, server.url)
            stream = tier.answer(
                call(key_id="k"), role=Role.CLASSIFIER, decision="asked by the estimator"
            )
            before = time.time()
            assert await text_of(stream) == server.served[0].text
            await tier.close()
        [row] = rows
        assert stream.attempt is row
        assert stream.cost == row.cost == COST
        assert stream.attempts == 1
        assert stream.answer.usage == row.usage == TOLD
        assert stream.answer.finish_reason == "stop"
        assert (row.request_id, row.key_id, row.tier, row.backend) == ("r-hello", "k", "t", "t/0")
        assert (row.asked_model, row.served_model) == ("asked", "m-0")
        assert (row.role, row.decision) == (Role.CLASSIFIER, "asked by the estimator")
        assert (row.outcome, row.fault) == (Outcome.OK, None)
        assert before <= row.at <= time.time()
        assert row.ttft_s is not None
        assert 0 <= row.ttft_s <= row.latency_s

    asyncio.run(run())


@pytest.mark.parametrize("behaviour", ["dead", "429", "503", "500", "409"])
def test_what_is_safe_is_tried_again_on_the_same_backend(behaviour: str) -> None:
    async def run() -> None:
        rows = Rows()
        async with chat_server(behaviour, behaviour) as server:
            tier = tier_of(rows, server.url)
            stream = tier.answer(call(), decision="why")
            assert await text_of(stream) == server.served[2].text
            await tier.close()
        assert [row.outcome for row in rows] == [Outcome.ERROR, Outcome.ERROR, Outcome.OK]
        assert [row.cost for row in rows] == [0, 0, COST]
        assert [row.decision for row in rows[:2]] == [f"{rows[0].fault}: tried again"] * 2
        assert rows[2].decision == "why"
        assert stream.attempts == 3
        assert len({row.id for row in rows}) == 3

    asyncio.run(run())


@pytest.mark.parametrize("behaviour", ["400", "401", "silent", "web-page"])
def test_what_is_not_safe_is_not(behaviour: str) -> None:
    async def run() -> None:
        rows = Rows()
        async with chat_server(behaviour) as server:
            tier = tier_of(rows, server.url, first_token_timeout_s=0.1)
            await fault_of(tier.answer(call()))
            await tier.close()
        assert len(server.served) == len(rows) == 1
        assert rows[0].outcome is Outcome.ERROR

    asyncio.run(run())


@pytest.mark.parametrize(
    ("behaviour", "attempts"), [("401", 2), ("silent", 2), ("dead", 2), ("503", 2), ("400", 1)]
)
def test_another_backend_is_asked_at_once_unless_it_would_say_the_same(
    behaviour: str, attempts: int
) -> None:
    async def run() -> None:
        rows = Rows()
        async with chat_server(behaviour) as bad, chat_server() as good:
            tier = tier_of(rows, bad.url, good.url, first_token_timeout_s=0.2)
            stream = tier.answer(call())
            if attempts == 1:
                assert (await fault_of(stream)).fault is Fault.REFUSED
            else:
                assert await text_of(stream) == good.served[0].text
            await tier.close()
        assert [row.backend for row in rows] == ["t/0", "t/1"][:attempts]

    asyncio.run(run())


def test_retries_are_bounded_and_the_last_error_is_told() -> None:
    async def run() -> None:
        rows = Rows()
        async with chat_server(*["503"] * 9) as server:
            tier = tier_of(rows, server.url, retries=3)
            error = await fault_of(tier.answer(call()))
            assert len(server.served) == len(rows) == 4
            none = tier_of(rows, server.url, retries=0)
            await fault_of(none.answer(call()))
            await tier.close()
            await none.close()
        assert error.fault is Fault.OVERLOADED
        assert error.status == 503
        assert len(rows) == 5

    asyncio.run(run())


@pytest.mark.parametrize("behaviour", ["cut", "error-event", "garbage-event", "hang"])
def test_nothing_is_tried_again_once_a_piece_was_passed_on(behaviour: str) -> None:
    async def run() -> None:
        rows = Rows()
        async with chat_server(behaviour) as server, chat_server() as other:
            tier = tier_of(rows, server.url, other.url, timeout_s=0.3)
            stream = tier.answer(call())
            got = []
            with pytest.raises(BackendError):
                async for chunk in stream:
                    got.append(chunk.text)
            await tier.close()
        [row] = rows
        assert got == server.served[0].words[:2]
        assert stream.answer.text == "".join(got)
        assert row.outcome is Outcome.ERROR
        assert row.served_model == "m-0"
        # Two words came, and will be on the bill.
        assert row.usage.estimated
        assert row.usage.completion_tokens == 3
        assert row.cost == PRICE.cost(row.usage) > 0
        assert not other.served

    asyncio.run(run())


def test_retry_after_is_waited_for_or_not_at_all() -> None:
    async def run() -> None:
        rows = Rows()
        async with chat_server("429", "429", "busy") as server:
            server.raw["busy"] = b"HTTP/1.1 429 No\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n"
            tier = tier_of(rows, server.url, retries=1)
            error = await fault_of(tier.answer(call()))
            assert error.retry_after_s == pytest.approx(0.004)
            assert len(rows) == 2
            await asyncio.sleep(0.01)
            # Half a minute is more than this request has.
            asked = call(deadline=time.monotonic() + 5)
            error = await fault_of(tier.answer(asked))
            assert error.retry_after_s == 30
            assert len(rows) == 3
            # And until then nobody else asks either.
            error = await fault_of(tier.answer(call()))
            assert error.fault is Fault.OVERLOADED
            assert error.retry_after_s is not None
            assert 29 < error.retry_after_s <= 30
            assert not tier.available
            await tier.close()
        assert len(server.served) == len(rows) == 3

    asyncio.run(run())


def test_closing_cancels_and_bills_what_came() -> None:
    async def run() -> None:
        rows = Rows()
        async with chat_server("hang") as server:
            tier = tier_of(rows, server.url)
            stream = tier.answer(call())
            await anext(stream)
            await stream.aclose()
            await stream.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            assert tier.health[0].in_flight == 0
            assert tier.health[0].failures == 0
            await tier.close()
        [row] = rows
        assert (row.outcome, row.fault) == (Outcome.CANCELLED, None)
        assert row.usage.estimated
        assert row.usage.prompt_tokens > 0
        assert row.usage.completion_tokens == 2
        assert stream.attempt == row

    asyncio.run(run())


def test_a_reader_that_leaves_after_the_last_piece_has_had_the_answer() -> None:
    async def run() -> None:
        rows = Rows()
        async with chat_server() as server:
            tier = tier_of(rows, server.url)
            async with tier.answer(call()) as stream:
                async for chunk in stream:
                    if chunk.finish_reason is not None:
                        break
            await tier.close()
        assert [row.outcome for row in rows] == [Outcome.OK]
        assert rows[0].usage == TOLD

    asyncio.run(run())


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("behaviour", ["silent", "hang"])
def test_cancelling_the_task_leaves_one_row(behaviour: str, raw: bool) -> None:
    async def run() -> None:
        rows = Rows()
        async with chat_server(behaviour) as server:
            tier = tier_of(rows, server.url)

            async def read() -> None:
                if raw:
                    body = posted(stream=True)
                    async for _ in tier.forward(body, stream=True, request_id="r-hello"):
                        pass
                else:
                    async for _ in tier.answer(call()):
                        pass

            task = asyncio.get_running_loop().create_task(read())
            while not server.served or (behaviour == "hang" and not server.served[0].sent):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert [(row.outcome, row.request_id) for row in rows] == [
                (Outcome.CANCELLED, "r-hello")
            ]
            assert tier.health[0].in_flight == 0
            await tier.close()

    asyncio.run(run())


def test_a_row_waits_to_be_settled() -> None:
    async def run() -> None:
        rows = Rows()
        async with chat_server("503") as server:
            tier = tier_of(rows, server.url)
            stream = tier.answer(call(), role=Role.DRAFT, deferred=True)
            async for _ in stream:
                pass
            assert [row.fault for row in rows] == ["overloaded"]
            assert stream.attempt.role is Role.DRAFT
            stream.settle(role=Role.ANSWER, decision="accepted", scores={"judge": 0.9})
            assert rows[1] == stream.attempt
            assert (rows[1].role, rows[1].decision) == (Role.ANSWER, "accepted")
            assert rows[1].scores == {"judge": 0.9}
            stream.settle(role=Role.DRAFT)
            await stream.aclose()
            assert len(rows) == 2
            assert rows[1].role is Role.ANSWER

            # One that nobody settles is written by the end of its context …
            async with tier.answer(call(), role=Role.DRAFT, deferred=True) as stream:
                async for _ in stream:
                    pass
                assert len(rows) == 2
            assert len(rows) == 3
            # … or, where there is none, with the stream itself.
            lost = tier.answer(call(), role=Role.DRAFT, deferred=True)
            async for _ in lost:
                pass
            del lost
            gc.collect()
            assert len(rows) == 4
            await tier.close()
        assert [row.outcome for row in rows[1:]] == [Outcome.OK] * 3

    asyncio.run(run())


def test_a_stream_that_is_not_begun_is_no_attempt() -> None:
    async def run() -> None:
        rows = Rows()
        tier = tier_of(rows, "http://127.0.0.1:1/v1")
        stream = tier.answer(call())
        await stream.aclose()
        with pytest.raises(RuntimeError):
            assert stream.attempt
        late = tier.answer(call(deadline=time.monotonic() - 1))
        assert (await fault_of(late)).fault is Fault.TIMEOUT
        assert late.attempts == 0
        assert not rows
        await tier.close()

    asyncio.run(run())


def test_weights_are_exact_and_spares_wait() -> None:
    async def run() -> None:
        rows = Rows()
        async with chat_server() as a, chat_server() as b, chat_server() as spare:
            tier = tier_of(rows, a.url, b.url, spare.url, weights=(3, 1, 0))
            for index in range(8):
                await text_of(tier.answer(call(str(index))))
            assert (len(a.served), len(b.served), len(spare.served)) == (6, 2, 0)
            a.behaviours, b.behaviours = ["503"] * 9, ["503"] * 9
            await text_of(tier.answer(call()))
            assert len(spare.served) == 1
            await tier.close()

    asyncio.run(run())


def test_a_full_backend_is_passed_over_and_a_full_tier_says_so() -> None:
    async def run() -> None:
        rows = Rows()
        async with chat_server("hang") as a, chat_server("hang") as b:
            tier = tier_of(rows, a.url, b.url, max_concurrency=1)
            first, second = tier.answer(call("1")), tier.answer(call("2"))
            await anext(first)
            await anext(second)
            assert (len(a.served), len(b.served)) == (1, 1)
            assert not tier.available
            error = await fault_of(tier.answer(call("3")))
            assert (error.fault, error.retry_after_s) == (Fault.OVERLOADED, 1.0)
            await first.aclose()
            assert tier.available
            await second.aclose()
            await tier.close()
        assert [row.request_id for row in rows] == ["r-1", "r-2"]

    asyncio.run(run())


def test_the_breaker_opens_and_one_probe_closes_it() -> None:
    async def run() -> None:
        rows, clock = Rows(), Clock()
        async with chat_server(*["500"] * 5) as server:
            tier = tier_of(rows, server.url, retries=0, clock=clock)
            for _ in range(5):
                await fault_of(tier.answer(call()))
            assert tier.health[0].state is BreakerState.OPEN
            error = await fault_of(tier.answer(call()))
            assert error.fault is Fault.OVERLOADED
            assert error.retry_after_s is not None
            assert len(server.served) == 5
            clock.now += error.retry_after_s
            assert tier.health[0].state is BreakerState.HALF_OPEN
            probe = tier.answer(call())
            await anext(probe)
            assert (await fault_of(tier.answer(call()))).fault is Fault.OVERLOADED
            async for _ in probe:
                pass
            assert tier.health[0].state is BreakerState.CLOSED
            await text_of(tier.answer(call()))
            assert tier.health[0].attempts == 7
            assert tier.health[0].failures == 5
            await tier.close()

    asyncio.run(run())


def test_a_tier_gets_no_more_than_its_rate() -> None:
    async def run() -> None:
        rows, clock = Rows(), Clock()
        async with chat_server() as server:
            tier = tier_of(rows, server.url, rate="0.5/s", clock=clock)
            await text_of(tier.answer(call()))
            error = await fault_of(tier.answer(call()))
            assert (error.fault, error.retry_after_s) == (Fault.OVERLOADED, 2.0)
            clock.now += 2
            await text_of(tier.answer(call()))
            await tier.close()
        assert len(rows) == 2

    asyncio.run(run())


def test_time_limits_hold_for_any_backend() -> None:
    async def run() -> None:
        rows = Rows()
        late = Scripted(Chunk(), 3600.0)
        error = await fault_of(scripted(rows, late).answer(call()))
        assert error.fault is Fault.TIMEOUT
        assert late.closed == 1
        slow = Scripted(Chunk(text="a"), 3600.0)
        stream = scripted(rows, slow).answer(call())
        assert (await anext(stream)).text == "a"
        assert (await fault_of(stream)).fault is Fault.TIMEOUT
        assert slow.closed == 1
        # A request that has little time says nothing of the backend.
        tier = scripted(rows, Scripted(3600.0))
        await fault_of(tier.answer(call(deadline=time.monotonic() + 0.02)))
        assert tier.health[0].failures == 0
        assert [row.fault for row in rows] == ["timeout"] * 3
        assert all(row.usage.estimated for row in rows)

    asyncio.run(run())


def test_a_backend_that_breaks_is_a_row_and_no_crash(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        rows = Rows()
        tier = scripted(rows, Scripted(ValueError("of the prompt")), retries=0)
        error = await fault_of(tier.answer(call()))
        assert error.fault is Fault.FAILED
        assert "prompt" not in error.message
        tier = scripted(rows, Scripted(Chunk(text="no finish")), retries=0)
        assert (await fault_of(tier.answer(call()))).fault is Fault.CUT
        assert [row.fault for row in rows] == ["failed", "cut"]

    asyncio.run(run())
    assert "t/0" in caplog.text


def test_usage_that_a_provider_knows_counts_even_when_it_fails() -> None:
    async def run() -> None:
        rows = Rows()
        known = Usage(prompt_tokens=7, completion_tokens=1)
        broke = BackendError(Fault.FAILED, "no", usage=known)
        await fault_of(scripted(rows, Scripted(broke), retries=0).answer(call()))
        assert rows[0].usage == known
        assert rows[0].cost == PRICE.cost(known)

    asyncio.run(run())


def test_forwarding_retries_and_accounts_alike() -> None:
    async def run() -> None:
        rows = Rows()
        async with chat_server("503", "ok", "cut") as server:
            tier = tier_of(rows, server.url)
            assert tier.forwards
            for stream in (True, False):
                async with tier.forward(
                    posted(stream=stream), stream=stream, request_id="q", key_id="k"
                ) as answer:
                    pieces = [piece async for piece in answer]
                    assert answer.headers[b"content-type"].startswith(
                        b"text/event-stream" if stream else b"application/json"
                    )
                if stream:
                    assert server.served[1].words[0].encode() in b"".join(pieces)
                    server.behaviours = ["ok"]
                else:
                    assert len(pieces) == 1
            assert [row.outcome for row in rows] == [Outcome.ERROR, Outcome.OK, Outcome.OK]
            assert [row.usage for row in rows] == [Usage(), TOLD, TOLD]
            assert {(row.request_id, row.key_id) for row in rows} == {("q", "k")}
            assert rows[1].served_model == "m-1"
            # A whole answer that breaks off was not passed on: another backend may give it.
            server.behaviours = ["cut"]
            broken = tier.forward(posted(stream=False), stream=False, request_id="q")
            with pytest.raises(BackendError) as caught:
                await anext(broken)
            assert caught.value.fault is Fault.CUT
            await tier.close()
        assert rows[-1].usage.estimated

    asyncio.run(run())


def test_only_backends_that_can_forward_do() -> None:
    one = Scripted()
    tier = scripted(Rows(), one)
    assert not tier.forwards
    asyncio.run(tier.close())
    assert one.closed == 1
