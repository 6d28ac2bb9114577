"""A tier's backend that is a model of this server: over a scripted dispatcher, and for real."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from provider_stand_in import StandIn
from running import RunningServer, serving

from pilotage.engines.engine import EngineInfo
from pilotage.route.answer import Chunk, Usage
from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.call import Call
from pilotage.serve.api import FixedModels, GatewayContext, Health, ServedModel
from pilotage.serve.generation import (
    GenerationFailed,
    Overloaded,
    SubmitRequest,
    TokenChunk,
    Unavailable,
)
from pilotage.serve.routing.local import LocalBackend
from pilotage.serve.telemetry.metrics import Metrics
from pilotage.tokens import Tokenizer

STAND_IN_ENGINE = Path(__file__).parent.parent / "external" / "stand_in_engine.py"
INFO = EngineInfo(
    engine="scripted 1.0",
    max_model_len=256,
    max_num_seqs=8,
    max_num_batched_tokens=512,
    kv_cache_tokens=65_536,
    kv_cache_bytes=1 << 30,
    prefill_tokens_per_s=1000.0,
    load_s=1.0,
)


class Scripted:
    """A dispatcher and its one generation: chunks, seconds to wait, or an error."""

    queue_s: float | None = 0.0

    def __init__(self, *steps: TokenChunk | float | Exception) -> None:
        self.steps = steps
        self.refusal: Exception | None = None
        self.requests: list[SubmitRequest] = []
        self.cancelled = False

    def check(self, requests: list[SubmitRequest]) -> None:
        del requests
        if self.refusal is not None:
            raise self.refusal

    def submit(self, requests: list[SubmitRequest]) -> list[Any]:
        self.check(requests)
        self.requests += requests
        return [self]

    async def __aiter__(self) -> AsyncIterator[TokenChunk]:
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                yield step

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture(scope="module")
def tokenizer(embedded_model: Path) -> Tokenizer:
    return Tokenizer.open(embedded_model)


def backend(tokenizer: Tokenizer, dispatcher: Scripted, *, model: str = "smol") -> LocalBackend:
    metrics = Metrics([])
    served = ServedModel("smol", tokenizer, dispatcher, lambda: INFO, 0)
    context = GatewayContext(
        models=FixedModels((served,)),
        health=lambda: Health("ready"),
        metrics=metrics,
        render_metrics=metrics.render,
    )
    return LocalBackend("near/0", context, model)


def call(**fields: Any) -> Call:
    body = {"messages": [{"role": "user", "content": "Where is it?"}], **fields}
    return Call(body=body, request_id="r1")


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 30))

    return run


async def chunks(one: LocalBackend, asked: Call) -> list[Chunk]:
    return [chunk async for chunk in one.complete(asked)]


def said(tokenizer: Tokenizer, text: str, *, end: str | None = "stop") -> list[TokenChunk]:
    ids = tokenizer.encode(text, add_special_tokens=False)
    return [
        TokenChunk([id_], [-0.5], end if index == len(ids) - 1 else None)  # type: ignore[arg-type]
        for index, id_ in enumerate(ids)
    ]


@in_a_loop
async def test_an_answer_has_its_text_and_exact_usage(tokenizer: Tokenizer) -> None:
    steps = said(tokenizer, "It is in Paris.")
    dispatcher = Scripted(*steps)
    got = await chunks(backend(tokenizer, dispatcher), call(max_tokens=64, temperature=0))
    (asked,) = dispatcher.requests
    assert "".join(one.text for one in got) == "It is in Paris."
    assert (got[0].model, got[-1].finish_reason) == ("smol", "stop")
    assert got[-1].usage == Usage(prompt_tokens=len(asked.prompt_ids), completion_tokens=len(steps))
    assert (asked.request_id, asked.params.max_tokens, asked.params.temperature) == ("r1", 64, 0)
    assert got[-1].logprobs == ()


@in_a_loop
async def test_log_probabilities_come_where_they_are_asked_for(tokenizer: Tokenizer) -> None:
    steps = said(tokenizer, "It is in Paris.")
    got = await chunks(backend(tokenizer, Scripted(*steps)), call(logprobs=True))
    assert [value for one in got for value in one.logprobs] == [-0.5] * len(steps)


@in_a_loop
async def test_a_stop_string_ends_it(tokenizer: Tokenizer) -> None:
    dispatcher = Scripted(*said(tokenizer, "one two three four", end=None))
    got = await chunks(backend(tokenizer, dispatcher), call(stop=" three"))
    assert "".join(one.text for one in got) == "one two"
    assert (got[-1].finish_reason, dispatcher.cancelled) == ("stop", True)


@in_a_loop
async def test_closing_it_stops_the_engine(tokenizer: Tokenizer) -> None:
    dispatcher = Scripted(*said(tokenizer, "one", end=None), 3600.0)
    stream = backend(tokenizer, dispatcher).complete(call())
    first = await anext(stream)
    await stream.aclose()
    assert dispatcher.cancelled
    assert first.usage is not None  # what came until then is known to the token
    assert first.usage.completion_tokens == 1


@pytest.mark.parametrize(
    ("refusal", "fault", "wait_s"),
    [
        (Overloaded("full", retry_after_s=2.5), Fault.RATE_LIMITED, 2.5),
        (Unavailable("loads", retry_after_s=9, code="model_loading"), Fault.OVERLOADED, 9),
        (GenerationFailed("bad schema", status=400, code="x"), Fault.REFUSED, None),
        (GenerationFailed("broke", status=500, code="x"), Fault.FAILED, None),
        (GenerationFailed("shed", status=504, code="x"), Fault.TIMEOUT, None),
    ],
)
@in_a_loop
async def test_a_refusal_of_admission(
    tokenizer: Tokenizer, refusal: Exception, fault: Fault, wait_s: float | None
) -> None:
    dispatcher = Scripted()
    dispatcher.refusal = refusal
    with pytest.raises(BackendError) as failure:
        await chunks(backend(tokenizer, dispatcher), call())
    assert (failure.value.fault, failure.value.retry_after_s) == (fault, wait_s)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (call(max_tokens=100_000), "maximum context length is 256"),
        (call(tools=[{"type": "function"}]), "Tool calls are not supported"),
        (call(temperature="hot"), "temperature"),
    ],
)
@in_a_loop
async def test_what_the_model_does_not_take(tokenizer: Tokenizer, asked: Call, words: str) -> None:
    with pytest.raises(BackendError) as failure:
        await chunks(backend(tokenizer, Scripted()), asked)
    assert failure.value.fault is Fault.REFUSED
    assert words in str(failure.value.detail)


@in_a_loop
async def test_a_worker_that_dies_and_an_alias_that_went(tokenizer: Tokenizer) -> None:
    dead = Scripted(
        *said(tokenizer, "one", end=None), GenerationFailed("died", status=502, code="worker_died")
    )
    with pytest.raises(BackendError) as failure:
        await chunks(backend(tokenizer, dead), call())
    assert failure.value.fault is Fault.CUT
    with pytest.raises(BackendError) as failure:
        await chunks(backend(tokenizer, Scripted(), model="gone"), call())
    assert failure.value.fault is Fault.DENIED
    silent = Scripted(*said(tokenizer, "one", end=None))
    with pytest.raises(BackendError, match="before its answer was complete"):
        await chunks(backend(tokenizer, silent), call())


# For real: a model whose engine is a server of its own, in front of a provider ----------------


@pytest.fixture(scope="module")
def mixed(
    embedded_model: Path, small_provider: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("mixed")
    near = {"name": "near", "price": {"input": 0, "output": 0}, "backends": [{}]}
    far = {
        "name": "far",
        "price": {"input": 1, "output": 2},
        "backends": [{"kind": "openai", "url": small_provider.url, "model": "tiny"}],
    }
    spec = {
        "model": {
            "source": str(embedded_model),
            "engine": "llamacpp",
            "served_name": "stand-in",
            "max_model_len": 256,
        },
        "slo": {"ttft_p99": "60s"},
        "serving": {"engine_command": str(STAND_IN_ENGINE), "drain_timeout": "2s"},
        "routing": {
            "tiers": [near, far],
            "policy": "cascade",
            "force": True,
            "verifier": {"checks": ["refusal"]},  # its answers are always cut off at 16 words
            "ledger": {"path": str(folder / "ledger.sqlite")},
        },
    }
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(spec))
    with serving(str(path), environment={"PILOTAGE_SOURCE": ""}) as running:
        yield running


def chat(server: RunningServer, text: str, **fields: Any) -> httpx.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}
    return httpx.post(f"{server.url}/chat/completions", json=body, timeout=60)


def test_the_servers_own_model_answers_and_a_provider_stands_in(
    mixed: RunningServer, small: StandIn
) -> None:
    # Ready from the start, as a tier elsewhere answers; this server's own model takes a moment.
    deadline = time.monotonic() + 60
    while chat(mixed, "hello", model="near").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    near = chat(mixed, "hello there")
    assert near.headers["x-pilotage-tier"] == "near"
    assert near.json()["model"] == "stand-in"
    assert near.json()["choices"][0]["message"]["content"].startswith("hello there")
    assert near.json()["usage"]["completion_tokens"] == 16
    far = chat(mixed, "FAIL")
    assert (far.status_code, far.headers["x-pilotage-tier"]) == (200, "far")
    assert far.json()["choices"][0]["message"]["content"] == "Paris it is."
    models = [one["id"] for one in httpx.get(f"{mixed.url}/models").json()["data"]]
    assert models == ["auto", "near", "far", "stand-in"]
    direct = chat(mixed, "hello again", model="stand-in")
    assert "x-pilotage-tier" not in direct.headers
    assert direct.json()["choices"][0]["message"]["content"].startswith("hello again")
