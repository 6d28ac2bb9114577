"""A real server on a loopback port, a real tokenizer, and a dispatcher that follows a script."""

import asyncio
import contextlib
import dataclasses
import functools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import pytest
import uvicorn
from openai import OpenAI

from pilotage.engines.engine import EngineInfo
from pilotage.images import ImageLimits, VisionInput
from pilotage.serve.api import FixedModels, GatewayContext, Health, Limits, ServedModel, create_app
from pilotage.serve.generation import SubmitRequest, TokenChunk
from pilotage.serve.images import ImageLoader
from pilotage.serve.telemetry.metrics import Metrics
from pilotage.tokens import Tokenizer

MODEL = "smollm2"
IMAGE_TOKEN = "<file_sep>"  # a control token that no chat has; stands for an image in tests
VISION = VisionInput(
    family="test", width=64, height=48, max_images=3, image_token=IMAGE_TOKEN, preprocessor={}
)
IMAGE_LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=2_000_000, max_count=4)
CONTEXT_LENGTH = 2048


def engine_info(**changes) -> EngineInfo:
    facts = {
        "engine": "scripted 1.0",
        "max_model_len": CONTEXT_LENGTH,
        "max_num_seqs": 64,
        "max_num_batched_tokens": 512,
        "kv_cache_tokens": 65_536,
        "kv_cache_bytes": 1 << 30,
        "prefill_tokens_per_s": 1000.0,
        "load_s": 1.0,
    }
    return EngineInfo(**facts | changes)


class ScriptedGeneration:
    """Yields the dispatcher's chunks; never ends by itself when the script is to hang."""

    def __init__(self, dispatcher: "ScriptedDispatcher", request: SubmitRequest) -> None:
        self.request = request
        self._dispatcher = dispatcher
        self.cancelled = threading.Event()
        self.queue_s: float | None = 0.0125

    async def __aiter__(self):
        for step in self._dispatcher.script(self.request):
            if isinstance(step, Exception):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
                continue
            yield step

    def cancel(self) -> None:
        self.cancelled.set()


class ScriptedDispatcher:
    """Stands in for workers: every generation follows `script`.

    A script's steps are chunks to yield, seconds to wait (float) and exceptions to raise.
    """

    def __init__(self) -> None:
        self.script: Callable[[SubmitRequest], Iterator] = lambda request: iter(())
        self.refusal: Exception | None = None
        self.generations: list[ScriptedGeneration] = []

    def check(self, requests: list[SubmitRequest]) -> None:
        if self.refusal is not None:
            raise self.refusal

    def submit(self, requests: list[SubmitRequest]) -> list[ScriptedGeneration]:
        if self.refusal is not None:
            raise self.refusal
        started = [ScriptedGeneration(self, request) for request in requests]
        self.generations += started
        return started


@dataclass
class Gateway:
    """A running server and what steers it."""

    url: str
    dispatcher: ScriptedDispatcher
    tokenizer: Tokenizer
    clients: contextlib.ExitStack
    state: dict = field(default_factory=dict)

    def reset(self) -> None:
        """As after the start: ready, and with the same answer to everything."""
        self.state.update(health=Health("ready", "All is well."), info=engine_info())
        self.dispatcher.refusal = None
        self.dispatcher.generations = []
        self.say("Paris is the capital.")

    def say(self, text: str, *, finish_reason: str = "stop", pause: float = 0.0, a_chunk: int = 1):
        """Let every generation answer with the tokens of a text, at most ``max_tokens``."""
        ids = self.tokenizer.encode(text, add_special_tokens=False)

        def script(request):
            limit = request.params.max_tokens
            reason = "length" if len(ids) > limit else finish_reason
            said = ids[:limit]
            for start in range(0, len(said), a_chunk):
                part = said[start : start + a_chunk]
                last = start + a_chunk >= len(said)
                logprobs = [-0.25 - 0.5 * (start + i) for i in range(len(part))]
                yield TokenChunk(
                    part, logprobs if request.params.logprobs else None, reason if last else None
                )
                if pause:
                    yield pause
            if not said:
                yield TokenChunk([], None, reason)

        self.dispatcher.script = script
        return ids

    def follow(self, *steps):
        """Let every generation follow these steps."""
        self.dispatcher.script = lambda request: iter(steps)

    @functools.cached_property
    def http(self) -> httpx.Client:
        return self.clients.enter_context(httpx.Client(base_url=self.url, timeout=30))

    @functools.cached_property
    def openai(self) -> OpenAI:
        return self.client()

    def client(self, **options) -> OpenAI:
        options = {"api_key": "none", "max_retries": 0} | options
        return self.clients.enter_context(OpenAI(base_url=f"{self.url}/v1", **options))

    def post(self, path: str, body=None, **options) -> httpx.Response:
        return self.http.post(path, json=body, **options)

    def chat(self, **fields) -> httpx.Response:
        messages = [{"role": "user", "content": "hello"}]
        body = {"model": MODEL, "messages": messages} | fields
        return self.post("/v1/chat/completions", body)

    def complete(self, **fields) -> httpx.Response:
        return self.post("/v1/completions", {"model": MODEL, "prompt": "hello"} | fields)

    def get(self, path: str, **options) -> httpx.Response:
        return self.http.get(path, **options)


@contextlib.contextmanager
def serving(app) -> Iterator[str]:
    """The address of a uvicorn server that runs the app in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def start(
    running: contextlib.ExitStack,
    tokenizer: Tokenizer,
    *,
    vision: VisionInput | None = None,
    **changes,
) -> Gateway:
    """A gateway that runs until the stack is left; `changes` are fields of its context."""
    dispatcher = ScriptedDispatcher()
    state: dict = {}
    metrics = Metrics([MODEL])
    model = ServedModel(
        MODEL, tokenizer, dispatcher, lambda: state["info"], 1_700_000_000, vision=vision
    )
    context = GatewayContext(
        models=FixedModels((model,)),
        health=lambda: state["health"],
        metrics=metrics,
        render_metrics=metrics.render,
        limits=Limits(max_body_bytes=256 << 10, max_n=4, max_sequences=8),
    )
    url = running.enter_context(serving(create_app(dataclasses.replace(context, **changes))))
    gateway = Gateway(url, dispatcher, tokenizer, running, state)
    gateway.reset()
    return gateway


@pytest.fixture(scope="session")
def smollm(embedded_model):
    return Tokenizer.open(embedded_model)


@pytest.fixture
def start_gateway(smollm):
    """Starts gateways of one's own: ``start_gateway(keys=…, limits=…)``."""
    with contextlib.ExitStack() as running:
        yield lambda **changes: start(running, smollm, **changes)


@pytest.fixture(scope="session")
def shared_gateway(smollm):
    with contextlib.ExitStack() as running:
        yield start(running, smollm)


@pytest.fixture
def gateway(shared_gateway) -> Gateway:
    """A gateway without keys that says "Paris is the capital." to everything."""
    shared_gateway.reset()
    return shared_gateway


@pytest.fixture(scope="session")
def sighted_gateway(smollm):
    with contextlib.ExitStack() as running:
        images = ImageLoader(IMAGE_LIMITS)
        running.callback(images.close)
        yield start(running, smollm, vision=VISION, images=images)


@pytest.fixture
def sighted(sighted_gateway) -> Gateway:
    """A gateway whose model takes images of 64 x 48 pixels, and says the same."""
    sighted_gateway.reset()
    return sighted_gateway
