"""The gateway's end of the link: it connects, measures, and survives a broken peer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pilotage.engines.config import EngineConfig
from pilotage.engines.engine import EngineOutput, SamplingParams
from pilotage.errors import ModelError
from pilotage.serve.active import ActiveGeneration
from pilotage.serve.admission import CompletionLengths
from pilotage.serve.generation import SubmitRequest
from pilotage.serve.link import Hello, Loaded, OpenedEngine, Step, encode
from pilotage.serve.models.replica import Replica
from pilotage.serve.worker_link import WorkerLink, WorkerLost

GREETED = ["up", "worker up"]


class Diary:
    """A listener that notes what it is told; it is the pool of every model, too."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    def pool_of(self, model: str) -> Diary | None:
        return self if model == "model" else None

    def on_worker_up(self, link: WorkerLink) -> None:
        self.entries.append("worker up")

    def on_worker_down(self, link: WorkerLink) -> None:
        assert not link.up
        self.entries.append("worker down")

    def on_up(self, replica: Replica) -> None:
        self.entries.append("up")

    def on_step(self, replica: Replica, step: Step) -> None:
        self.entries.append("step")

    def on_down(self, replica: Replica) -> None:
        assert not replica.up  # nothing may be given to it any more
        self.entries.append("down")

    def on_closed(self, replica: Replica) -> None:
        self.entries.append("closed")


def active(number: int, prompt: int, **params: Any) -> ActiveGeneration:
    sampling = SamplingParams(**{"max_tokens": 100, **params})
    request = SubmitRequest("r", [1] * prompt, sampling)
    return ActiveGeneration(number, request, 0.0, lambda _: None)


def connected(tmp_path: Path, tools: Any, scenario: Any) -> None:
    async def main() -> None:
        worker = tools.StandInWorker(tmp_path / "w.sock", tools.engine_info())
        diary = Diary()
        link = WorkerLink(0, str(worker.path), diary)
        task = asyncio.create_task(link.run())
        await asyncio.sleep(0.02)
        assert not link.up  # the worker's socket is not there yet, and the link keeps trying
        await worker.start()
        await tools.until(lambda: link.up)
        try:
            await scenario(link, worker, diary)
        finally:
            task.cancel()
            await asyncio.wait([task])
            worker.die()
            await asyncio.sleep(0.01)

    asyncio.run(main())


def test_it_measures_what_steps_tell(tmp_path: Path, tools: Any) -> None:
    async def scenario(link: WorkerLink, worker: Any, diary: Diary) -> None:
        replica = link.replicas[0]
        assert replica.prefill_tokens_per_s == 1000.0  # from the greeting
        before = link.last_sign
        await asyncio.sleep(0.01)
        worker.send(duration_s=0.0)
        worker.send(EngineOutput(1, [2]), duration_s=0.1)
        worker.send(EngineOutput(1, [2]), duration_s=0.2)
        await tools.until(lambda: diary.entries == ["up", "worker up", "step", "step", "step"])
        assert replica.steps == 2  # an idle sign of life is none
        assert replica.step_s == pytest.approx(0.1 + 0.3 * 0.1)
        assert (replica.kv_cache_usage, replica.prefill_tokens_per_s) == (0.25, 2000.0)
        assert link.last_sign > before
        assert replica.last_sign == link.last_sign

    connected(tmp_path, tools, scenario)


@pytest.mark.parametrize(
    "broken",
    [b"\xff\xff\xff\xff", (3).to_bytes(4, "little") + b"\xc1\xc1\xc1"],
    ids=["absurd length", "no MessagePack"],
)
def test_a_broken_peer_is_dropped_and_met_again(tmp_path: Path, tools: Any, broken: bytes) -> None:
    async def scenario(link: WorkerLink, worker: Any, diary: Diary) -> None:
        worker.send_raw(broken)
        await tools.until(lambda: diary.entries == [*GREETED, "down", "worker down", *GREETED])
        worker.send(duration_s=0.0)
        await tools.until(lambda: diary.entries[-1] == "step")

    connected(tmp_path, tools, scenario)


def test_frames_may_arrive_in_pieces(tmp_path: Path, tools: Any) -> None:
    async def scenario(link: WorkerLink, worker: Any, diary: Diary) -> None:
        frame = encode(Step(0, [EngineOutput(1, list(range(50)))], 0.1, 1, 0.5, 10.0))
        for byte in frame:
            worker.send_raw(bytes([byte]))
            await asyncio.sleep(0)
        await tools.until(lambda: diary.entries == [*GREETED, "step"])

    connected(tmp_path, tools, scenario)


def test_a_worker_that_dies_before_its_greeting_was_never_up(tmp_path: Path, tools: Any) -> None:
    calls = 0

    async def main() -> None:
        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal calls
            calls += 1
            writer.write(encode(Hello(0, []))[:7])
            writer.close()

        path = tmp_path / "w.sock"
        server = await asyncio.start_unix_server(hang_up, path)
        diary = Diary()
        task = asyncio.create_task(WorkerLink(0, str(path), diary).run())
        await asyncio.sleep(0.15)
        task.cancel()
        await asyncio.wait([task])
        server.close()
        await asyncio.sleep(0.01)
        assert diary.entries == []
        assert calls in {1, 2}  # one try every tenth of a second

    asyncio.run(main())


LOADED = EngineConfig(model="model", engine="openvino", path="m", cache="c")


def test_an_engine_is_opened_and_closed(tmp_path: Path, tools: Any) -> None:
    async def scenario(link: WorkerLink, worker: Any, diary: Diary) -> None:
        load = asyncio.create_task(link.load(LOADED))
        await tools.until(lambda: worker.loads)
        assert worker.loads == [(1, LOADED)]  # number 0 is taken
        assert link.loading("model") == 1
        worker.loaded(tools.engine_info(max_num_seqs=7))
        replica = await load
        assert (replica.number, replica.free_slots) == (1, 7)
        assert link.copies("model") == [link.replicas[0], replica]
        unload = asyncio.create_task(link.unload(replica))
        await tools.until(lambda: worker.unloads)
        assert replica.leaving
        assert not unload.done()
        worker.unloaded()
        await unload
        assert (link.copies("model"), replica.up) == ([link.replicas[0]], False)
        assert diary.entries == [*GREETED, "up", "closed"]

    connected(tmp_path, tools, scenario)


def test_an_engine_that_cannot_be_opened_says_why(tmp_path: Path, tools: Any) -> None:
    async def scenario(link: WorkerLink, worker: Any, diary: Diary) -> None:
        load = asyncio.create_task(link.load(LOADED))
        await tools.until(lambda: worker.loads)
        worker.load_failed(ModelError("the file is damaged", where="m.gguf", hint="Fetch it"))
        with pytest.raises(ModelError, match="damaged") as failure:
            await load
        assert (failure.value.where, failure.value.hint) == ("m.gguf", "Fetch it")
        assert link.loading("model") == 0

    connected(tmp_path, tools, scenario)


def test_a_worker_that_dies_while_it_loads_says_so(tmp_path: Path, tools: Any) -> None:
    async def scenario(link: WorkerLink, worker: Any, diary: Diary) -> None:
        load = asyncio.create_task(link.load(LOADED))
        await tools.until(lambda: worker.loads)
        worker.die()
        with pytest.raises(WorkerLost):
            await load
        with pytest.raises(WorkerLost):
            await link.load(LOADED)
        await worker.start()
        await tools.until(lambda: link.up)
        assert (link.loading("model"), list(link.replicas)) == (0, [0])

    connected(tmp_path, tools, scenario)


def test_a_load_that_nobody_waits_for_any_more_is_undone(tmp_path: Path, tools: Any) -> None:
    async def scenario(link: WorkerLink, worker: Any, diary: Diary) -> None:
        load = asyncio.create_task(link.load(LOADED))
        await tools.until(lambda: worker.loads)
        load.cancel()
        await tools.until(lambda: worker.unloads == [1])
        worker.unloaded()
        await tools.until(lambda: link.loading("model") == 0)

    connected(tmp_path, tools, scenario)


def test_a_worker_says_what_it_held_and_was_loading_before(tmp_path: Path, tools: Any) -> None:
    """As a gateway hears that was started again."""

    async def scenario(link: WorkerLink, worker: Any, diary: Diary) -> None:
        info = tools.engine_info()
        engines = [OpenedEngine(4, "model", info), OpenedEngine(6, "model", None)]
        worker.tell(Hello(0, [*engines, OpenedEngine(5, "a stranger", info)]))
        await tools.until(lambda: 4 in link.replicas)
        assert list(link.replicas) == [4]
        assert link.loading("model") == 1
        worker.tell(Loaded(6, "model", info))
        await tools.until(lambda: 6 in link.replicas)
        load = asyncio.create_task(link.load(LOADED))
        await tools.until(lambda: worker.loads)
        assert worker.loads[0][0] == 7  # a number that nobody has had
        load.cancel()

    connected(tmp_path, tools, scenario)


def test_slots_count_what_the_worker_holds(tools: Any) -> None:
    replica = Replica(0, 0, "model", Diary(), lambda _: None)
    lengths = CompletionLengths()
    assert replica.free_slots == 0
    assert not replica.has_room(active(1, 1), lengths)
    replica.info = tools.engine_info(max_num_seqs=2, kv_cache_tokens=1000)
    assert replica.free_slots == 2
    replica.give(active(1, 400))
    replica.give(active(2, 10))
    assert replica.free_slots == 0
    replica.give(active(3, 10))
    assert replica.free_slots == 0  # never negative


def test_the_kv_cache_is_shared_by_what_prompts_and_completions_will_need(
    tools: Any,
) -> None:
    replica = Replica(0, 0, "model", Diary(), lambda _: None)
    lengths = CompletionLengths()
    replica.info = tools.engine_info(max_num_seqs=8, kv_cache_tokens=1000)
    assert replica.has_room(active(1, 5000), lengths)  # alone; the API has checked its length
    replica.give(active(1, 400, max_tokens=100))
    assert replica.has_room(active(2, 400, max_tokens=100), lengths)
    assert not replica.has_room(active(2, 401, max_tokens=100), lengths)
    assert not replica.has_room(active(2, 1, max_tokens=10_000), lengths)  # 512 of them count
    for _ in range(10):
        lengths.ended(20)  # completions turn out short: allowances nobody uses keep nobody out
    assert replica.has_room(active(2, 401, max_tokens=10_000), lengths)


def test_admission_is_told_what_is_left_to_do(tools: Any) -> None:
    replica = Replica(0, 0, "model", Diary(), lambda _: None)
    replica.info = tools.engine_info()
    waiting, running, leaving = active(1, 30), active(2, 40, max_tokens=50), active(3, 5)
    for generation in (waiting, running, leaving):
        replica.give(generation)
    running.deliver(EngineOutput(2, [1] * 10))
    leaving.deliver(EngineOutput(3, [1]))
    leaving.cancelled = True
    load = replica.load(CompletionLengths())
    assert load.prefill_backlog == 30
    assert list(load.remaining_tokens) == [100, 40, 1]
    assert load.batched_tokens == 512
