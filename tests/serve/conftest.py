"""A stand-in for a worker, and a pool over real sockets for the tests of the pool and its links."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pilotage.engines.config import EngineConfig
from pilotage.engines.engine import EngineInfo, EngineOutput, EngineRequest, SamplingParams
from pilotage.errors import PilotageError
from pilotage.serve.generation import Generation, SubmitRequest, TokenChunk
from pilotage.serve.link import (
    Cancel,
    FrameDecoder,
    Hello,
    Load,
    Loaded,
    LoadFailed,
    OpenedEngine,
    Step,
    Submit,
    ToGateway,
    ToWorker,
    Unload,
    Unloaded,
    encode,
)
from pilotage.serve.models.fleet import Fleet
from pilotage.serve.pool import WorkerPool

sys.path.insert(0, str(Path(__file__).parent))  # for `running`, which tests here import

from running import RunningServer, serving


@pytest.fixture(scope="session")
def server(embedded_model: Path) -> Iterator[RunningServer]:
    """The real server with the real model; patient, because test machines are slow at times."""
    assert embedded_model.exists()
    with serving("--ttft-p99", "120s", "--max-num-seqs", "16") as running:
        yield running


def engine_info(**changes: Any) -> EngineInfo:
    """A small engine."""
    facts: dict[str, Any] = {
        "engine": "stand-in", "max_model_len": 1000, "max_num_seqs": 2,
        "max_num_batched_tokens": 512, "kv_cache_tokens": 100_000, "kv_cache_bytes": 1,
        "prefill_tokens_per_s": 1000.0, "load_s": 4.0,
    }  # fmt: skip
    return EngineInfo(**{**facts, **changes})


async def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  conditions span sockets and tasks
            await asyncio.sleep(0.002)


class StandInWorker:
    """The worker's end of the link, without an engine: a test says what it sends, and when.

    It holds one engine, number 0, of the model "model"; more by its attribute `engines`.
    """

    def __init__(self, path: Path, info: EngineInfo, index: int = 0) -> None:
        self.path, self.info, self.index = path, info, index
        self.submitted: list[EngineRequest] = []  # over all its lives
        self.given: list[tuple[int, int]] = []  # in this life: engine and request
        self.held: list[int] = []  # as the engine would
        self.cancels: list[int] = []
        self.engines: dict[int, str] = {0: "model"}
        self.loads: list[tuple[int, EngineConfig]] = []  # that were asked for
        self.unloads: list[int] = []
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def connected(self) -> bool:
        return self._writer is not None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._connected, self.path)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.held.clear()
        self.given.clear()
        decoder: FrameDecoder[ToWorker] = FrameDecoder(ToWorker)  # type: ignore[arg-type]
        opened = [OpenedEngine(number, model, self.info) for number, model in self.engines.items()]
        writer.write(encode(Hello(self.index, opened)))
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                for message in decoder.feed(data):
                    self.obey(message)
        writer.close()
        if self._writer is writer:
            self._writer = None

    def obey(self, message: ToWorker) -> None:
        match message:
            case Submit(engine, request):
                self.submitted.append(request)
                self.given.append((engine, request.id))
                self.held.append(request.id)
            case Cancel(_, id):
                self.cancels.append(id)
            case Load(engine, config):
                self.loads.append((engine, config))
            case Unload(engine):
                self.unloads.append(engine)

    def send(self, *outputs: EngineOutput, duration_s: float = 0.01, engine: int = 0) -> None:
        """One step's frame."""
        for output in outputs:
            if output.finish_reason is not None and output.id in self.held:
                self.held.remove(output.id)
        step = Step(engine, list(outputs), duration_s, len(self.held), 0.25, 2000.0)
        self.send_raw(encode(step))

    def send_raw(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    def tell(self, message: ToGateway) -> None:
        self.send_raw(encode(message))

    def loaded(self, info: EngineInfo | None = None) -> None:
        """The oldest load that was asked for is done."""
        engine, config = self.loads.pop(0)
        self.engines[engine] = config.model
        self.tell(Loaded(engine, config.model, info or self.info))

    def load_failed(self, error: PilotageError) -> None:
        engine, config = self.loads.pop(0)
        self.tell(LoadFailed(engine, config.model, error.as_dict()))

    def unloaded(self) -> None:
        engine = self.unloads.pop(0)
        self.engines.pop(engine, None)
        self.tell(Unloaded(engine))

    def tokens(self, number: int, *ids: int) -> None:
        self.send(EngineOutput(number, list(ids)))

    def finish(self, number: int, *ids: int, engine: int = 0) -> None:
        self.send(EngineOutput(number, list(ids), None, "stop"), engine=engine)

    def die(self) -> None:
        """As after kill -9: the listening socket and the connection are gone at once."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None
        self.held.clear()


class PoolBench:
    """A pool that runs, and stand-ins for its workers."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 1,
        started: bool = True,
        info: EngineInfo | None = None,
        **options: Any,
    ) -> None:
        self.workers = [
            StandInWorker(folder / f"{i}.sock", info or engine_info(), i) for i in range(workers)
        ]
        settings: dict[str, Any] = {
            "ttft_target_s": 1000.0, "queue_timeout_s": 1000.0, "stalled_after_s": 1000.0,
            "placed": range(workers),
        }  # fmt: skip
        self.pool = WorkerPool(**{**settings, **options})
        self.fleet = Fleet([str(w.path) for w in self.workers], {"model": self.pool})
        self._started = started
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> PoolBench:
        if self._started:
            for worker in self.workers:
                await worker.start()
        self._task = asyncio.create_task(self.fleet.run())
        if self._started:
            await until(lambda: all(link.up for link in self.fleet.links))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        for worker in self.workers:
            worker.die()
        for _ in range(5):  # so that transports close before the loop does
            await asyncio.sleep(0)

    def submit(
        self,
        *prompts: int | list[int],
        restartable: bool = False,
        worker: int | None = None,
        **params: Any,
    ) -> list[Generation]:
        """Submit prompts of so many tokens (or these), together."""
        sampling = SamplingParams(**{"max_tokens": 100, **params})
        return self.pool.submit(
            [
                SubmitRequest(
                    "test",
                    [7] * prompt if isinstance(prompt, int) else prompt,
                    sampling,
                    restartable,
                    worker=worker,
                )
                for prompt in prompts
            ]
        )


async def read(generation: Generation) -> list[TokenChunk]:
    """All chunks of a generation."""
    async with asyncio.timeout(10):
        return [chunk async for chunk in generation]


class Tools:
    """What the tests of pool and links work with."""

    PoolBench = PoolBench
    StandInWorker = StandInWorker
    engine_info = staticmethod(engine_info)
    until = staticmethod(until)
    read = staticmethod(read)


@pytest.fixture
def tools() -> type[Tools]:
    """`PoolBench`, `StandInWorker` and their helpers."""
    return Tools
