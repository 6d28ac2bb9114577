"""Models loaded on demand, making room for one another, and restored: over stand-in workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from pilotage.engines.config import EngineConfig
from pilotage.engines.engine import SamplingParams
from pilotage.errors import ModelError, PilotageError, ResourceError, UsageError
from pilotage.serve import worker_link
from pilotage.serve.api.context import ServedModel
from pilotage.serve.config import ModelConfig, PlacedEngine
from pilotage.serve.control import AliasTarget, ModelStatus
from pilotage.serve.generation import Generation, GenerationFailed, SubmitRequest, Unavailable
from pilotage.serve.models.fleet import Fleet
from pilotage.serve.models.managed import ManagedModel
from pilotage.serve.models.manager import ModelManager
from pilotage.serve.models.saved_state import StateFile
from pilotage.serve.pool import WorkerPool


@pytest.fixture(autouse=True)
def _reconnect_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_link, "_RETRY_S", 0.01)


class Bench:
    """A manager with its fleet, and stand-ins for the workers that do as they are told at once."""

    def __init__(
        self,
        folder: Path,
        tools: Any,
        *,
        sizes: dict[str, int],
        lazy: str = "",
        workers: int = 1,
        copies: int = 1,
        budget: int = 100,
        idle_unload_s: float | None = None,
        load_timeout_s: float = 20.0,
        aliases: dict[str, tuple[AliasTarget, ...]] | None = None,
        stand_ins: list[Any] | None = None,
    ) -> None:
        self.tools = tools
        self.workers = stand_ins or [
            tools.StandInWorker(folder / f"{i}.sock", tools.engine_info(), i)
            for i in range(workers)
        ]
        self.pools: dict[str, WorkerPool] = {}
        models = []
        for name, size in sizes.items():
            pool = WorkerPool(
                ttft_target_s=1000.0,
                queue_timeout_s=1000.0,
                stalled_after_s=1000.0,
                placed=range(workers),
                on_wanted=lambda name=name: self.manager.wanted_by_request(name),  # type: ignore[misc]
            )
            self.pools[name] = pool
            engine = EngineConfig(
                model=name, engine="openvino", path=name, memory_bytes=size, cache=""
            )
            config = ModelConfig(
                name=name, source=f"file:///{name}", engine="openvino", path=name,
                load="lazy" if name in lazy else "preload", task="generate", max_model_len=100,
                placed=tuple(
                    PlacedEngine(worker=i, config=engine, copies=copies) for i in range(workers)
                ),
            )  # fmt: skip
            served = ServedModel(name, cast("Any", None), pool, pool.info, 0)
            models.append(ManagedModel(config, served, pool))
        if stand_ins is None:
            start = [name for name in sizes if name not in lazy for _ in range(copies)]
            for worker in self.workers:
                worker.engines = dict(enumerate(start))
        self.fleet = Fleet([str(worker.path) for worker in self.workers], self.pools)
        self.manager = ModelManager(
            models,
            self.fleet,
            order=list(sizes),
            budgets=[budget] * workers,
            devices=[f"cpu:{i}" for i in range(workers)],
            aliases=aliases or {},
            state=StateFile(folder / "state"),
            load_timeout_s=load_timeout_s,
            idle_unload_s=idle_unload_s,
        )
        self.obedient = True
        self.broken: dict[str, PilotageError] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Bench:
        for worker in self.workers:
            if worker._server is None:
                await worker.start()
        self._tasks = [
            asyncio.create_task(work)
            for work in (self.fleet.run(), self.manager.run(), self._obey())
        ]
        await self.tools.until(lambda: all(link.up for link in self.fleet.links))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        for worker in self.workers:
            worker.die()
        for _ in range(5):
            await asyncio.sleep(0)

    async def stop(self) -> None:
        """The gateway is gone; the workers are not."""
        for task in (*self._tasks, *self.manager._tasks):
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def _obey(self) -> None:
        while True:
            await asyncio.sleep(0.001)
            for worker in self.workers:
                while self.obedient and worker.connected and worker.loads:
                    error = self.broken.get(worker.loads[0][1].model)
                    if error is None:
                        worker.loaded()
                    else:
                        worker.load_failed(error)
                while worker.connected and worker.unloads:
                    worker.unloaded()

    def held(self, worker: int = 0) -> list[str]:
        return sorted(self.workers[worker].engines.values())

    def submit(self, model: str, worker: int | None = None) -> Generation:
        found = self.manager.find(model)
        assert found is not None
        asked = SubmitRequest("r", [1], SamplingParams(max_tokens=5), worker=worker)
        (generation,) = found.dispatcher.submit([asked])
        return generation

    async def answer(self, model: str) -> None:
        """A request from its beginning to its end."""
        generation = self.submit(model)
        await self.tools.until(lambda: any(worker.held for worker in self.workers))
        self.finish_all()
        assert (await self.tools.read(generation))[-1].finish_reason == "stop"

    def finish_all(self) -> None:
        for worker in self.workers:
            for engine, number in list(worker.given):
                if number in worker.held:
                    worker.given.remove((engine, number))
                    worker.finish(number, 1, engine=engine)

    def status(self, name: str) -> ModelStatus:
        return next(status for status in self.manager.models() if status.name == name)


@pytest.fixture
def play(tmp_path: Path, tools: Any) -> Callable[..., None]:
    def run(scenario: Callable[[Bench], Awaitable[None]], **options: Any) -> None:
        async def main() -> None:
            async with Bench(tmp_path, tools, **options) as bench:
                await scenario(bench)

        asyncio.run(main())

    return run


# On demand ------------------------------------------------------------------------------------


def test_the_first_request_of_a_lazy_model_waits_for_it(play: Any) -> None:
    async def scenario(bench: Bench) -> None:
        assert bench.manager.ready
        assert bench.status("b").state == "unloaded"
        bench.obedient = False
        generations = [bench.submit("b") for _ in range(3)]
        await bench.tools.until(lambda: bench.workers[0].loads)
        assert (bench.status("b").state, bench.status("b").queued) == ("loading", 3)
        await bench.answer("a")  # others are served meanwhile
        assert len(bench.workers[0].loads) == 1  # once for all of them
        bench.obedient = True
        while not all(generation.phase.name == "ENDED" for generation in generations):  # type: ignore[attr-defined]
            bench.finish_all()
            await asyncio.sleep(0.002)
        assert bench.held() == ["a", "b"]
        status = bench.status("b")
        assert (status.state, status.error) == ("ready", None)
        assert status.last_used_s is not None
        (replica,) = status.replicas
        assert (replica.device, replica.memory_bytes) == ("cpu:0", 40)

    play(scenario, sizes={"a": 40, "b": 40}, lazy="b")


def test_all_workers_get_all_copies(play: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.manager.load("b")
        assert bench.held(0) == bench.held(1) == ["a", "a", "b", "b"]
        assert [replica.worker for replica in bench.status("b").replicas] == [0, 1]
        await bench.manager.load("b")  # nothing more to do
        assert bench.held(0) == ["a", "a", "b", "b"]

    play(scenario, sizes={"a": 10, "b": 10}, lazy="b", workers=2, copies=2)


def test_a_model_that_cannot_be_opened_fails_those_who_wait_and_nobody_else(play: Any) -> None:
    async def scenario(bench: Bench) -> None:
        bench.broken["b"] = ModelError("the file is damaged", where="m.gguf")
        with pytest.raises(GenerationFailed, match="damaged") as failure:
            await bench.tools.read(bench.submit("b"))
        assert (failure.value.status, failure.value.code) == (500, "model_not_loaded")
        assert "damaged" in str(bench.status("b").error)
        assert bench.status("b").state == "failed"
        with pytest.raises(GenerationFailed, match="damaged"):  # without another try
            bench.submit("b")
        await bench.answer("a")
        with pytest.raises(ModelError, match="damaged"):
            await bench.manager.load("b")
        bench.broken.clear()
        assert (await bench.manager.load("b")).state == "ready"
        await bench.answer("b")

    play(scenario, sizes={"a": 10, "b": 10}, lazy="b")


def test_a_load_that_takes_too_long_is_given_up(play: Any) -> None:
    async def scenario(bench: Bench) -> None:
        bench.obedient = False
        with pytest.raises(Unavailable) as failure:
            await bench.tools.read(bench.submit("b"))
        assert failure.value.status == 503
        await bench.tools.until(lambda: bench.status("b").state == "failed")
        assert "not loaded within" in str(bench.status("b").error)

    play(scenario, sizes={"a": 10, "b": 10}, lazy="b", load_timeout_s=0.2)


def test_a_worker_that_cannot_open_it_fails_those_who_named_it(play: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.answer("b")
        bench.workers[0].die()
        bench.workers[0].engines = {0: "a"}
        bench.broken["b"] = ModelError("the disk of worker 0 is gone")
        await bench.workers[0].start()
        await bench.tools.until(lambda: bench.status("b").error)
        with pytest.raises(GenerationFailed, match="disk of worker 0"):
            await bench.tools.read(bench.submit("b", worker=0))
        await bench.answer("b")  # the other worker has it

    play(scenario, sizes={"a": 1, "b": 1}, lazy="b", workers=2)


# Room -----------------------------------------------------------------------------------------


def test_the_least_recently_used_makes_room(play: Any) -> None:
    async def scenario(bench: Bench) -> None:
        for name in "abc":
            await bench.answer(name)
        assert bench.held() == ["b", "c"]
        await bench.answer("b")
        await bench.answer("a")  # c is the one that was used longest ago
        assert bench.held() == ["a", "b"]
        assert bench.status("c").state == "unloaded"

    play(scenario, sizes={"a": 40, "b": 40, "c": 40}, lazy="abc")


def test_busy_models_stay_and_the_newcomer_is_told_to_come_back(play: Any) -> None:
    async def scenario(bench: Bench) -> None:
        running = [bench.submit("a"), bench.submit("b")]
        await bench.tools.until(lambda: len(bench.workers[0].held) == 2)
        with pytest.raises(Unavailable) as refusal:
            await bench.tools.read(bench.submit("c"))
        assert (refusal.value.status, refusal.value.code) == (503, "model_not_loaded")
        assert refusal.value.retry_after_s is not None
        with pytest.raises(ResourceError, match="models in use hold 80B of the 100B"):
            await bench.manager.load("c")
        bench.finish_all()
        for generation in running:
            await bench.tools.read(generation)
        await bench.answer("c")  # now there is somebody who can leave
        assert bench.held() == ["b", "c"]

    play(scenario, sizes={"a": 40, "b": 40, "c": 40}, lazy="c")


def test_unloading_lets_requests_finish_and_the_next_one_loads_again(play: Any) -> None:
    async def scenario(bench: Bench) -> None:
        before = [bench.submit("a") for _ in range(3)]  # two slots: one of them is queued
        worker = bench.workers[0]
        await bench.tools.until(lambda: len(worker.held) == 2)
        unloading = asyncio.create_task(bench.manager.unload("a"))
        await asyncio.sleep(0.05)
        assert bench.status("a").state == "unloading"
        after = bench.submit("a")
        for _ in range(2):
            await bench.tools.until(lambda: worker.held)
            assert not unloading.done()
            bench.finish_all()
        for generation in before:
            assert (await bench.tools.read(generation))[-1].finish_reason == "stop"
        await unloading
        await bench.tools.until(lambda: worker.held)  # it waited for the model to come back
        assert list(worker.engines) == [1]  # another one
        bench.finish_all()
        assert (await bench.tools.read(after))[-1].finish_reason == "stop"

    play(scenario, sizes={"a": 40})


def test_a_lazy_model_that_nobody_uses_is_unloaded(play: Any) -> None:
    async def scenario(bench: Bench) -> None:
        running = bench.submit("b")
        await bench.tools.until(lambda: bench.workers[0].held)
        await asyncio.sleep(0.5)
        assert bench.held() == ["a", "b"]  # it is being used
        bench.finish_all()
        await bench.tools.read(running)
        await bench.tools.until(lambda: bench.held() == ["a"])  # what was preloaded stays
        await bench.answer("b")

    play(scenario, sizes={"a": 40, "b": 40}, lazy="b", idle_unload_s=0.2)


# Workers and gateways die -----------------------------------------------------------------------


def test_what_a_dead_worker_held_is_restored(play: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.manager.load("b")
        await bench.manager.load("c")
        await bench.manager.unload("a")
        worker = bench.workers[0]
        worker.die()
        worker.engines = {0: "a"}  # a new one has what its config says
        generation = bench.submit("b")
        await worker.start()
        await bench.tools.until(lambda: bench.held() == ["b", "c"])
        await bench.tools.until(lambda: worker.held)
        bench.finish_all()
        assert (await bench.tools.read(generation))[-1].finish_reason == "stop"

    play(scenario, sizes={"a": 30, "b": 30, "c": 30}, lazy="bc")


def test_a_model_that_kills_its_worker_is_given_up(play: Any) -> None:
    async def scenario(bench: Bench) -> None:
        bench.obedient = False
        worker = bench.workers[0]
        waiting = bench.submit("b")
        for _ in range(2):
            await bench.tools.until(lambda: worker.loads)
            worker.loads.clear()
            worker.die()
            await worker.start()
        with pytest.raises(GenerationFailed, match="died each of the 2 times") as failure:
            await bench.tools.read(waiting)
        assert failure.value.status == 500
        bench.obedient = True
        await bench.answer("a")

    play(scenario, sizes={"a": 10, "b": 10}, lazy="b")


def test_the_next_gateway_knows_what_was_loaded_and_where_aliases_point(
    tmp_path: Path, tools: Any
) -> None:
    async def main() -> None:
        options: dict[str, Any] = {
            "sizes": {"a": 10, "b": 10, "c": 10}, "lazy": "bc",
            "aliases": {"chat": (AliasTarget("a"),)},
        }  # fmt: skip
        first = Bench(tmp_path, tools, **options)
        await first.__aenter__()
        await first.manager.load("b")
        await first.manager.unload("a")
        first.manager.set_alias("chat", (AliasTarget("b"),))
        await first.stop()
        async with Bench(tmp_path, tools, **options, stand_ins=first.workers) as second:
            assert second.held() == ["b"]
            assert [status.state for status in second.manager.models()] == [
                "unloaded", "ready", "unloaded",
            ]  # fmt: skip
            found = second.manager.find("chat")
            assert found is not None
            assert found.name == "b"
            await second.answer("chat")
            assert second.manager.ready

    asyncio.run(main())


# Names ----------------------------------------------------------------------------------------


def test_names_models_and_aliases(play: Any) -> None:
    async def scenario(bench: Bench) -> None:
        manager = bench.manager
        assert manager.names() == ("a", "b", "chat")
        assert [model.name for model in manager.all()] == ["a", "b"]
        default, unknown = manager.find(None), manager.find("nobody")
        assert default is not None
        assert (default.name, unknown) == ("a", None)
        with pytest.raises(UsageError, match="there is no model 'nobody'"):
            await manager.load("nobody")
        with pytest.raises(UsageError, match="there is no model 'chat'"):
            await manager.unload("chat")
        manager.set_alias("other", (AliasTarget("a"), AliasTarget("b")))
        found = [manager.find("other") for _ in range(4)]
        assert sorted(model.name for model in found if model) == ["a", "a", "b", "b"]
        peeked = [manager.peek("other") for _ in range(3)]
        assert peeked == [manager.find("other")] * 3
        assert (manager.peek(None), manager.peek("a")) == (default, default)
        assert manager.peek("nobody") is None
        manager.remove_alias("other")
        assert manager.find("other") is None

    play(scenario, sizes={"a": 1, "b": 1}, aliases={"chat": (AliasTarget("b"),)})


def test_a_request_for_one_worker_goes_there_and_loads_the_model(play: Any) -> None:
    async def scenario(bench: Bench) -> None:
        waiting = bench.submit("b", worker=1)
        await bench.tools.until(lambda: bench.workers[1].held)
        assert not bench.workers[0].held
        bench.finish_all()
        await bench.tools.read(waiting)
        # One that it has left there comes back for it.
        worker = bench.workers[0]
        worker.die()
        worker.engines = {0: "a"}
        bench.obedient = False
        await worker.start()
        await bench.tools.until(lambda: worker.loads)
        waiting = bench.submit("b", worker=0)
        bench.obedient = True
        await bench.tools.until(lambda: worker.held)
        bench.finish_all()
        assert (await bench.tools.read(waiting))[-1].finish_reason == "stop"
        with pytest.raises(GenerationFailed) as refusal:
            bench.submit("b", worker=7)
        assert (refusal.value.status, refusal.value.code) == (404, "worker_not_found")

    play(scenario, sizes={"a": 1, "b": 1}, lazy="b", workers=2)
