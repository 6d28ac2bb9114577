"""The dispatcher over real sockets: one queue, slots on the worker's word, deaths survived."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pilotage.engines.engine import EngineOutput, SamplingParams, Tensor
from pilotage.serve import worker_link
from pilotage.serve.generation import (
    Generation,
    GenerationFailed,
    Overloaded,
    SubmitRequest,
    Unavailable,
)
from pilotage.serve.pool import MAX_ATTEMPTS


@pytest.fixture
def play(tmp_path: Path, tools: Any) -> Callable[..., None]:
    """Runs a scenario with a pool; options go to `PoolBench`."""

    def run(scenario: Callable[[Any], Coroutine[Any, Any, None]], **options: Any) -> None:
        async def main() -> None:
            async with tools.PoolBench(tmp_path, **options) as bench:
                await scenario(bench)

        asyncio.run(main())

    return run


@pytest.fixture(autouse=True)
def _reconnect_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_link, "_RETRY_S", 0.01)


# Order and slots ------------------------------------------------------------------------------


def test_tokens_come_in_order_and_end_with_the_reason(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        (generation,) = bench.submit(5, logprobs=True)
        worker = bench.workers[0]
        await tools.until(lambda: worker.submitted)
        number = worker.submitted[0].id
        assert worker.submitted[0].prompt_ids == [7] * 5
        worker.send(EngineOutput(number, [1, 2], [-0.1, -0.2]))
        worker.send(EngineOutput(number, [3], [-0.3], "length"))
        await tools.until(lambda: not bench.pool.state().running)
        (chunk,) = await tools.read(generation)  # a slow reader gets what is there as one chunk
        assert (chunk.token_ids, chunk.finish_reason) == ([1, 2, 3], "length")
        assert chunk.logprobs == [-0.1, -0.2, -0.3]
        assert not chunk.restarted

    play(scenario)


def test_requests_start_in_the_order_they_came(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        generations = [bench.submit(length)[0] for length in (1, 2, 3, 4, 5)]
        worker = bench.workers[0]
        await tools.until(lambda: len(worker.submitted) == 2)
        assert bench.pool.state().queued_requests == 3
        assert bench.pool.state().queued_tokens == 3 + 4 + 5
        for _ in range(5):
            await tools.until(lambda: worker.held)
            worker.finish(worker.held[-1], 1)
            await asyncio.sleep(0.01)
        assert [len(request.prompt_ids) for request in worker.submitted] == [1, 2, 3, 4, 5]
        for generation in generations:
            assert (await tools.read(generation))[-1].finish_reason == "stop"

    play(scenario)


def test_choices_of_a_request_stand_or_fall_together(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        bench.submit(10)
        with pytest.raises(Overloaded) as refusal:
            bench.submit(*[400] * 5)
        assert refusal.value.status == 429
        assert refusal.value.retry_after_s is not None
        assert 0 < refusal.value.retry_after_s < 60
        assert bench.pool.state().queued_requests == 0
        assert bench.pool.state().running == 1
        assert len(bench.submit(10, 10)) == 2

    play(scenario, ttft_target_s=2.0)


def test_admission_can_be_asked_for_beforehand(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        def wanted(count: int) -> list[SubmitRequest]:
            return [SubmitRequest("r", [1] * 400, SamplingParams(max_tokens=9))] * count

        bench.submit(10)
        with pytest.raises(Overloaded):
            bench.pool.check(wanted(9))
        bench.pool.check(wanted(1))
        assert (bench.pool.state().queued_requests, bench.pool.state().running) == (0, 1)

    play(scenario, ttft_target_s=2.0)


def test_a_cancelled_request_keeps_its_slot_until_the_engine_lets_go(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        first, second, third = (bench.submit(n)[0] for n in (1, 2, 3))
        worker = bench.workers[0]
        await tools.until(lambda: len(worker.submitted) == 2)
        first.cancel()
        first.cancel()
        await tools.until(lambda: worker.cancels)
        worker.tokens(worker.submitted[0].id, 9)  # from a step that was under way
        await asyncio.sleep(0.02)
        assert len(worker.submitted) == 2
        assert bench.pool.state().running == 2
        worker.send(EngineOutput(worker.submitted[0].id, [], None, "cancelled"))
        await tools.until(lambda: len(worker.submitted) == 3)
        assert worker.cancels == [worker.submitted[0].id]
        assert await tools.read(first) == []
        worker.finish(worker.submitted[1].id, 1)
        worker.finish(worker.submitted[2].id, 1)
        await asyncio.gather(tools.read(second), tools.read(third))

    play(scenario)


def test_a_request_cancelled_in_the_queue_never_reaches_a_worker(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        kept = bench.submit(1, 1)
        waiting = bench.submit(2)[0]
        worker = bench.workers[0]
        reader = asyncio.create_task(tools.read(waiting))
        await tools.until(lambda: len(worker.submitted) == 2)
        waiting.cancel()
        assert bench.pool.state().queued_requests == 0
        assert await reader == []  # whoever still reads is let go
        for request in worker.submitted[:]:
            worker.finish(request.id, 1)
        for generation in kept:
            await tools.read(generation)
        assert len(worker.submitted) == 2
        assert worker.cancels == []
        waiting.cancel()

    play(scenario)


def test_the_kv_cache_is_not_promised_twice(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        bench.submit(600)
        big = bench.submit(600)[0]
        bench.submit(10)
        worker = bench.workers[0]
        await asyncio.sleep(0.02)
        assert len(worker.submitted) == 1  # the big one has no room, and nobody overtakes it
        big.cancel()  # then the small one need not wait for anything
        await tools.until(lambda: len(worker.submitted) == 2)
        assert len(worker.submitted[1].prompt_ids) == 10

    play(scenario, info=tools.engine_info(kv_cache_tokens=1000, max_num_seqs=8))


# Refusals -------------------------------------------------------------------------------------


def test_nothing_is_admitted_before_a_worker_was_ready(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        with pytest.raises(Unavailable) as refusal:
            bench.submit(1)
        assert (refusal.value.status, refusal.value.code) == (503, "model_loading")
        assert bench.pool.info() is None
        assert bench.pool.state().state == "loading"
        await bench.workers[0].start()
        await tools.until(lambda: bench.pool.state().state == "ready")
        assert bench.pool.info().engine == "stand-in"
        bench.submit(1)

    play(scenario, started=False)


def test_without_a_worker_the_answer_says_when_to_come_back(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        bench.workers[0].die()
        await tools.until(lambda: not bench.pool.state().workers[0].up)
        with pytest.raises(Unavailable) as refusal:
            bench.submit(1)
        assert refusal.value.code == "no_worker"
        assert 3.0 < refusal.value.retry_after_s <= 4.0  # what loading took the last time

    play(scenario, ttft_target_s=2.0, queue_timeout_s=2.0)


def test_newcomers_wait_for_a_worker_that_is_back_soon(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        worker = bench.workers[0]
        worker.die()
        await tools.until(lambda: not bench.pool.state().workers[0].up)
        (generation,) = bench.submit(1)  # a load takes 4 s, the target is 10 s
        assert bench.pool.state().queued_requests == 1
        with pytest.raises(Overloaded):  # within what can still be done in time
            bench.submit(*[900] * 9)
        await worker.start()
        await tools.until(lambda: worker.held)
        worker.finish(worker.held[0], 1)
        assert (await tools.read(generation))[-1].finish_reason == "stop"
        worker.die()
        await tools.until(lambda: not bench.pool.state().workers[0].up)
        bench.pool.state().workers[0].down_since -= 60
        with pytest.raises(Unavailable) as refusal:  # it is long overdue
            bench.submit(1)
        assert refusal.value.code == "no_worker"

    play(scenario, ttft_target_s=10.0, queue_timeout_s=10.0)


def test_newcomers_do_not_wait_for_a_worker_for_ever(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        bench.workers[0].die()
        await tools.until(lambda: not bench.pool.state().workers[0].up)
        (generation,) = bench.submit(1)
        with pytest.raises(Overloaded, match="without a free slot"):
            await tools.read(generation)

    play(scenario, ttft_target_s=0.2, queue_timeout_s=0.2, info=tools.engine_info(load_s=0.1))


def test_a_draining_pool_finishes_what_it_has_and_takes_no_more(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        generations = bench.submit(1, 1, 1)
        bench.pool.draining = True
        assert bench.pool.state().state == "draining"
        with pytest.raises(Unavailable) as refusal:
            bench.submit(1)
        assert refusal.value.code == "server_draining"
        worker = bench.workers[0]
        for _ in generations:
            await tools.until(lambda: worker.held)
            worker.finish(worker.held[0], 1)
        for generation in generations:
            assert (await tools.read(generation))[-1].finish_reason == "stop"

    play(scenario)


def test_a_request_that_waits_too_long_is_shed(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        held = bench.submit(1, 1)
        waiting = bench.submit(1)[0]
        with pytest.raises(GenerationFailed) as failure:
            await tools.read(waiting)
        assert failure.value.status == 429
        assert failure.value.retry_after_s is not None
        worker = bench.workers[0]
        for request in worker.submitted[:]:
            worker.finish(request.id, 1)
        for generation in held:  # what runs is not shed
            await tools.read(generation)
        assert len(worker.submitted) == 2

    play(scenario, queue_timeout_s=0.1)


def test_what_the_engine_refuses_fails_with_its_reason(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        (generation,) = bench.submit(1)
        worker = bench.workers[0]
        await tools.until(lambda: worker.submitted)
        number = worker.submitted[0].id
        worker.send(EngineOutput(number, [], None, "error", "top_k is odd"), duration_s=0.0)
        with pytest.raises(GenerationFailed, match="top_k is odd") as failure:
            await tools.read(generation)
        assert (failure.value.status, failure.value.code) == (400, "engine_refused")
        assert bench.pool.state().running == 0

    play(scenario)


def test_news_of_unknown_requests_is_ignored(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        (generation,) = bench.submit(1)
        worker = bench.workers[0]
        await tools.until(lambda: worker.submitted)
        number = worker.submitted[0].id
        worker.tokens(number + 1000, 5)
        worker.finish(number + 1001, 5)
        worker.finish(number, 6)
        worker.finish(number, 7)
        (chunk,) = await tools.read(generation)
        assert chunk.token_ids == [6]

    play(scenario)


# Deaths ---------------------------------------------------------------------------------------


def test_queued_requests_survive_and_keep_their_order(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        generations = [bench.submit(length)[0] for length in (1, 2, 3, 4)]
        worker = bench.workers[0]
        await tools.until(lambda: len(worker.held) == 2)
        worker.die()
        await tools.until(lambda: bench.pool.state().queued_requests == 4)
        await asyncio.sleep(0.3)  # longer than the queue's deadline: a death is not their fault
        await worker.start()
        for _ in generations:
            await tools.until(lambda: worker.held)
            worker.finish(worker.held[0], 1)
        for generation in generations:
            (chunk,) = await tools.read(generation)
            assert not chunk.restarted  # nothing of it had been read
        assert [len(r.prompt_ids) for r in worker.submitted] == [1, 2, 1, 2, 3, 4]
        assert bench.pool.state().retries == 2

    play(scenario, queue_timeout_s=0.2)


@pytest.mark.parametrize("restartable", [True, False])
def test_an_answer_half_read_begins_anew_only_if_it_may(
    play: Any, tools: Any, restartable: bool
) -> None:
    async def scenario(bench: Any) -> None:
        (generation,) = bench.submit(1, restartable=restartable)
        worker = bench.workers[0]
        await tools.until(lambda: worker.held)
        worker.tokens(worker.held[0], 1, 2)
        chunks = aiter(generation)
        assert (await anext(chunks)).token_ids == [1, 2]
        worker.die()
        await worker.start()
        if not restartable:
            with pytest.raises(GenerationFailed) as failure:
                await anext(chunks)
            assert (failure.value.status, failure.value.code) == (502, "worker_died")
            assert bench.pool.state().running == bench.pool.state().queued_requests == 0
            return
        await tools.until(lambda: worker.held)
        worker.tokens(worker.held[0], 3)
        second = await anext(chunks)
        assert (second.token_ids, second.restarted) == ([3], True)
        worker.finish(worker.held[0], 4)
        third = await anext(chunks)
        assert (third.token_ids, third.restarted, third.finish_reason) == ([4], False, "stop")
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)

    play(scenario)


def test_tokens_nobody_read_are_forgotten_with_their_worker(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        (generation,) = bench.submit(1)
        worker = bench.workers[0]
        await tools.until(lambda: worker.held)
        worker.tokens(worker.held[0], 1, 2)
        await asyncio.sleep(0.02)
        worker.die()
        await worker.start()
        await tools.until(lambda: worker.held)
        worker.finish(worker.held[0], 3)
        (chunk,) = await tools.read(generation)
        assert (chunk.token_ids, chunk.restarted) == ([3], False)

    play(scenario)


def test_a_request_that_outlives_too_many_workers_fails(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        (generation,) = bench.submit(1, restartable=True)
        worker = bench.workers[0]
        for attempt in range(MAX_ATTEMPTS):
            await tools.until(lambda count=attempt: len(worker.submitted) == count + 1)
            worker.die()
            await worker.start()
        with pytest.raises(GenerationFailed) as failure:
            await tools.read(generation)
        assert (failure.value.status, failure.value.code) == (500, "worker_died")
        assert len(worker.submitted) == MAX_ATTEMPTS
        assert bench.pool.state().retries == MAX_ATTEMPTS - 1

    play(scenario)


def test_a_cancelled_request_ends_with_its_worker(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        (generation,) = bench.submit(1)
        worker = bench.workers[0]
        await tools.until(lambda: worker.held)
        generation.cancel()
        worker.die()
        await worker.start()
        await tools.until(lambda: worker.connected)
        await asyncio.sleep(0.02)
        assert len(worker.submitted) == 1
        assert bench.pool.state().running == bench.pool.state().queued_requests == 0
        assert bench.pool.state().retries == 0

    play(scenario)


def test_the_other_worker_takes_over(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        generations = bench.submit(1, 1, 1, 1)
        first, second = bench.workers
        await tools.until(lambda: len(first.held) == len(second.held) == 2)
        first.die()
        await tools.until(lambda: bench.pool.state().queued_requests == 2)
        assert bench.pool.state().state == "ready"
        while second.held:
            second.finish(second.held[0], 1)
            await asyncio.sleep(0.01)
        assert len(second.submitted) == 4
        for generation in generations:
            (chunk,) = await tools.read(generation)
            assert chunk.token_ids == [1]

    play(scenario, workers=2)


# Choice of worker, health -----------------------------------------------------------------------


def test_the_least_loaded_worker_is_given_the_next_request(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        first, second = bench.workers
        for _ in range(6):
            bench.submit(1)
        await tools.until(lambda: len(first.held) + len(second.held) == 6)
        assert len(first.held) == len(second.held) == 3
        for number in list(second.held):
            second.finish(number, 1)
        await tools.until(lambda: bench.pool.state().running == 3)
        bench.submit(1)
        bench.submit(1)
        await tools.until(lambda: len(second.held) == 2)
        assert len(first.held) == 3

    play(scenario, workers=2, info=tools.engine_info(max_num_seqs=4))


def test_a_quiet_worker_is_the_last_resort(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        quiet, lively = bench.workers
        bench.pool.state().workers[0].last_sign -= 60
        bench.submit(1, 1, 1)
        await tools.until(lambda: len(quiet.held) + len(lively.held) == 3)
        assert (len(quiet.held), len(lively.held)) == (1, 2)

    play(scenario, workers=2)


def test_a_request_may_name_its_worker(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        first, second = bench.workers
        bench.submit(1, 1, 1, worker=1)
        await tools.until(lambda: len(second.held) == 2)
        assert bench.pool.state().queued_requests == 1
        bench.submit(2, 2)  # passes those that wait for the other worker
        await tools.until(lambda: len(first.held) == 2)
        bench.submit(3)
        second.finish(second.held[0], 1)
        await tools.until(lambda: len(second.submitted) == 3)
        assert len(second.submitted[2].prompt_ids) == 1  # the first that waited for it
        assert bench.pool.state().queued_requests == 1

    play(scenario, workers=2)


def test_a_worker_that_has_not_got_the_model_is_refused(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        with pytest.raises(GenerationFailed, match="those that do: 0, 1") as refusal:
            bench.submit(1, worker=2)
        assert (refusal.value.status, refusal.value.code) == (404, "worker_not_found")
        bench.workers[1].die()
        await tools.until(lambda: not bench.pool.state().workers[1].up)
        with pytest.raises(Unavailable) as refusal:
            bench.submit(1, worker=1)
        assert refusal.value.code == "no_worker"
        bench.submit(1)

    play(scenario, workers=2, ttft_target_s=2.0, queue_timeout_s=2.0)


def test_a_prompt_goes_where_its_beginning_was(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        first, second = bench.workers
        chat, other = [1] * 200, [2] * 200
        bench.submit(chat)
        await tools.until(lambda: first.held)
        bench.submit(other)
        await tools.until(lambda: second.held)
        for worker in (first, second):
            worker.finish(worker.held[0], 1)
        await tools.until(lambda: not bench.pool.state().running)
        bench.submit([*other, 5], [*chat, 6, 7])
        await tools.until(lambda: first.held and second.held)
        assert second.submitted[1].prompt_ids[-1] == 5
        assert first.submitted[1].prompt_ids[-1] == 7
        # A replica that is clearly busier than the other one is not waited for.
        for _ in range(4):
            bench.submit([*chat, 8])
        await tools.until(lambda: len(first.held) + len(second.held) == 6)
        assert len(first.held) == 4
        assert len(second.held) == 2

    play(scenario, workers=2, info=tools.engine_info(max_num_seqs=8))


def test_a_big_batch_for_an_encoder_runs_whole(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        generations = bench.submit(*[20] * 2048, max_tokens=1)
        worker = bench.workers[0]
        with pytest.raises(Overloaded):  # a second one would wait too long
            bench.submit(*[20] * 2048, max_tokens=1)
        assert bench.pool.state().queued_requests == 2048 - 32
        async with asyncio.timeout(60):
            while bench.pool.state().running:
                held = list(worker.held)
                vectors = [
                    EngineOutput(n, [], None, "stop", None, Tensor((1,), b"\0\0\0?")) for n in held
                ]
                worker.send(*vectors, duration_s=0.01)
                await tools.until(lambda held=held: worker.held != held or not worker.held)
                await asyncio.sleep(0.12 if len(worker.submitted) < 100 else 0)  # past the queue's
        for generation in generations:
            (chunk,) = await tools.read(generation)
            assert (chunk.finish_reason, chunk.tensor.shape) == ("stop", (1,))

    encoder = tools.engine_info(max_num_seqs=32, kv_cache_tokens=0, task="embed")
    play(scenario, info=encoder, ttft_target_s=0.1, queue_timeout_s=0.1)


def test_health_follows_the_workers_signs_of_life(play: Any, tools: Any) -> None:
    async def scenario(bench: Any) -> None:
        worker = bench.workers[0]
        assert bench.pool.state().state == "loading"
        await worker.start()
        await tools.until(lambda: bench.pool.state().state == "ready")
        await tools.until(lambda: bench.pool.state().state == "stalled")
        worker.send(duration_s=0.0)
        await tools.until(lambda: bench.pool.state().state == "ready")
        worker.die()
        await tools.until(lambda: bench.pool.state().state == "stalled")
        await worker.start()
        await tools.until(lambda: bench.pool.state().state == "ready")

    play(scenario, started=False, stalled_after_s=0.2)


def test_metrics_hear_of_steps_and_not_of_idle_signs(play: Any, tools: Any) -> None:
    heard: list[tuple[int, float, int, int]] = []

    async def scenario(bench: Any) -> None:
        worker = bench.workers[0]
        bench.submit(1)
        await tools.until(lambda: worker.held)
        worker.send(duration_s=0.0)
        worker.send(EngineOutput(worker.held[0], [1, 2]), duration_s=0.5)
        await tools.until(lambda: heard)
        assert heard == [(0, 0.5, 1, 2)]
        worker.finish(worker.held[0], 3)
        await tools.until(lambda: len(heard) == 2)
        assert heard[1] == (0, 0.01, 1, 1)  # it ended with the step, so it was in it

    play(scenario, on_step=lambda *facts: heard.append(facts))


# Every schedule -------------------------------------------------------------------------------


class Reader:
    """Reads a generation and keeps how it ended."""

    def __init__(self, generation: Generation, at_once: bool) -> None:
        self.generation = generation
        self.tokens: list[int] = []
        self.endings: list[str] = []
        self.cancelled = False
        self.go = asyncio.Event()
        if at_once:
            self.go.set()
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        await self.go.wait()
        try:
            async for chunk in self.generation:
                if chunk.restarted:
                    self.tokens.clear()
                self.tokens += chunk.token_ids
                if chunk.finish_reason is not None:
                    self.endings.append(chunk.finish_reason)
        except GenerationFailed as failure:
            self.endings.append(failure.code)
        if self.cancelled and not self.endings:
            self.endings.append("cancelled")


class Schedule:
    """One run of the pool under a random schedule of arrivals, steps, cancellations and deaths."""

    def __init__(self, bench: Any, seed: int) -> None:
        self.bench = bench
        self.random = random.Random(seed)
        self.readers: list[Reader] = []
        self.brought: Counter[tuple[int, int]] = Counter()  # (life of a worker, request) → tokens
        self.complete: dict[int, int] = {}  # request → tokens of the attempt that ended last
        self.lives = [0] * len(bench.workers)
        self.deaths = 0

    def _check(self) -> None:
        state = self.bench.pool.state()
        held = [number for link in state.workers for number in link.held]
        assert len(held) == len(set(held)) == state.running
        assert all(len(link.held) <= 2 and link.free_slots >= 0 for link in state.workers)

    def submit(self) -> None:
        try:
            generations = self.bench.submit(
                *[self.random.randint(1, 9) for _ in range(self.random.randint(1, 3))],
                restartable=self.random.random() < 0.5,
            )
        except Unavailable:
            return
        self.readers += [Reader(g, self.random.random() < 0.7) for g in generations]

    def step(self, *, ending: float = 0.3) -> None:
        for index, worker in enumerate(self.bench.workers):
            if not worker.connected:
                continue
            outputs = []
            for number in list(worker.held):
                if number in worker.cancels:
                    outputs.append(EngineOutput(number, [], None, "cancelled"))
                    continue
                life = (index * 1000 + self.lives[index], number)
                ids = [self.brought[life] + i for i in range(self.random.randint(0, 2))]
                self.brought[life] += len(ids)
                ends = self.random.random() < ending
                outputs.append(EngineOutput(number, ids, None, "stop" if ends else None))
                if ends:
                    self.complete[number] = self.brought[life]
            worker.send(*outputs)

    def cancel(self) -> None:
        if self.readers:
            reader = self.random.choice(self.readers)
            reader.cancelled = True
            reader.generation.cancel()
            reader.go.set()

    def read(self) -> None:
        if self.readers:
            self.random.choice(self.readers).go.set()

    async def kill(self) -> None:
        index = self.random.randrange(len(self.bench.workers))
        self.bench.workers[index].die()
        self.lives[index] += 1
        self.deaths += 1
        await asyncio.sleep(0)
        if self.random.random() < 0.7:
            await self.bench.workers[index].start()

    async def settle(self) -> None:
        await asyncio.sleep(self.random.choice([0, 0.001, 0.015]))

    async def play(self, actions: list[str]) -> None:
        for action in actions:
            result = getattr(self, action)()
            if result is not None:
                await result
            self._check()
        await self.end()

    async def end(self) -> None:
        """Heal the workers; then everything must come to its end."""
        for worker in self.bench.workers:
            if worker._server is None:
                await worker.start()
        for reader in self.readers:
            reader.go.set()
        async with asyncio.timeout(20):
            while not all(reader.task.done() for reader in self.readers):
                self.step(ending=0.7)
                await asyncio.sleep(0.002)
                self._check()
            while self.bench.pool.state().running:
                self.step(ending=1.0)
                await asyncio.sleep(0.002)
        state = self.bench.pool.state()
        assert (state.queued_requests, state.running) == (0, 0)
        assert all(link.free_slots == 2 for link in state.workers if link.up)
        for reader in self.readers:
            reader.task.result()
            (ending,) = reader.endings
            assert ending in {"stop", "cancelled", "worker_died"}
            assert ending != "worker_died" or self.deaths
            if not reader.cancelled:
                assert ending != "cancelled"
            # Every attempt brings 0, 1, 2, …: a token lost, doubled or of another attempt shows.
            assert reader.tokens == list(range(len(reader.tokens)))
            if ending == "stop":
                assert len(reader.tokens) == self.complete[reader.generation.id]  # type: ignore[attr-defined]


ACTIONS = ("submit", "submit", "step", "step", "step", "cancel", "read", "kill", "settle", "settle")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(ACTIONS), max_size=40), st.integers(0, 2**32))
@example(["submit", "settle", "step", "settle", "kill", "step", "settle", "kill"], 1)
def test_whatever_happens_every_generation_ends_exactly_once(
    tools: Any, actions: list[str], seed: int
) -> None:
    async def main(folder: Path) -> None:
        async with tools.PoolBench(folder, workers=2) as bench:
            await Schedule(bench, seed).play(actions)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
