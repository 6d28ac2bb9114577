"""One generation's life in the gateway, without a pool."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.engines.engine import EngineOutput, SamplingParams
from pilotage.serve.active import ActiveGeneration, Phase
from pilotage.serve.generation import GenerationFailed, SubmitRequest, TokenChunk


def generation(
    cancelled: list[ActiveGeneration] | None = None, *, logprobs: bool = False
) -> ActiveGeneration:
    request = SubmitRequest("r", [1, 2, 3], SamplingParams(max_tokens=9, logprobs=logprobs))
    return ActiveGeneration(5, request, 0.0, (cancelled if cancelled is not None else []).append)


def run(scenario: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 5))


def test_it_is_sent_to_the_engine_under_its_number() -> None:
    active = generation()
    assert active.engine_request.id == 5
    assert active.engine_request.prompt_ids == [1, 2, 3]
    assert active.prompt_tokens == 3
    assert active.phase is Phase.QUEUED


def test_a_waiting_reader_is_woken_by_tokens() -> None:
    async def scenario() -> None:
        active = generation()
        chunks = aiter(active)
        waiting = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        active.deliver(EngineOutput(5, [1]))
        assert await waiting == TokenChunk([1], None, None)
        active.deliver(EngineOutput(5, [], None, "length"))
        assert await anext(chunks) == TokenChunk([], None, "length")
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)

    run(scenario())


@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_a_waiting_reader_is_never_left_behind(how: str) -> None:
    async def scenario() -> None:
        told: list[ActiveGeneration] = []
        active = generation(told)
        chunks = aiter(active)
        waiting = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        if how == "cancelled":
            active.cancel()
            active.cancel()
            with pytest.raises(StopAsyncIteration):
                await waiting
            assert told == [active]  # once
        else:
            active.fail(GenerationFailed("no", status=500, code="x"))
            with pytest.raises(GenerationFailed, match="no"):
                await waiting
            active.cancel()
            assert told == []  # there is nothing left to stop
            assert active.phase is Phase.ENDED

    run(scenario())


def test_the_waits_of_a_generation_add_up_and_its_runs_do_not() -> None:
    active = generation()
    assert active.queue_s is None
    time.sleep(0.02)
    active.dispatched()
    assert (active.phase, active.attempts) == (Phase.HELD, 1)
    first = active.queue_s
    assert first is not None
    assert first >= 0.02
    time.sleep(0.05)
    assert active.queue_s == first
    began = time.monotonic()
    active.begin_anew()
    assert active.queue_s == first
    time.sleep(0.02)
    active.dispatched()
    assert first + 0.02 <= active.queue_s <= first + time.monotonic() - began


def test_a_new_beginning_is_told_once_and_only_to_who_had_read() -> None:
    async def scenario() -> None:
        active = generation()
        chunks = aiter(active)
        active.deliver(EngineOutput(5, [1]))
        active.begin_anew()  # [1] was never read
        active.deliver(EngineOutput(5, [2]))
        assert await anext(chunks) == TokenChunk([2], None, None, restarted=False)
        active.begin_anew()
        active.begin_anew()
        assert active.generated == 0
        assert active.patient
        active.deliver(EngineOutput(5, [3]))
        assert await anext(chunks) == TokenChunk([3], None, None, restarted=True)
        active.deliver(EngineOutput(5, [4], None, "stop"))
        assert await anext(chunks) == TokenChunk([4], None, "stop", restarted=False)

    run(scenario())


@given(
    st.lists(st.lists(st.integers(0, 99), max_size=3), min_size=1, max_size=12),
    st.data(),
    st.booleans(),
)
def test_a_slow_reader_loses_nothing(
    steps: list[list[int]], data: st.DataObject, logprobs: bool
) -> None:
    async def scenario() -> None:
        active = generation(logprobs=logprobs)
        chunks = aiter(active)
        tokens: list[int] = []
        values: list[float] = []
        for number, ids in enumerate(steps):
            reason = "stop" if number == len(steps) - 1 else None
            probabilities = [-float(i) for i in ids] if logprobs else None
            active.deliver(EngineOutput(5, ids, probabilities, reason))
            if reason is None and data.draw(st.booleans()):
                continue
            chunk = await anext(chunks)
            tokens += chunk.token_ids
            values += chunk.logprobs or []
            assert (chunk.logprobs is not None) == logprobs
        assert chunk.finish_reason == "stop"
        assert tokens == [token for ids in steps for token in ids]
        assert active.generated == len(tokens)
        assert values == ([-float(token) for token in tokens] if logprobs else [])

    run(scenario())
