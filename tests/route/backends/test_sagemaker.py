"""SageMaker over its own wire format: real boto3, a real socket, what containers really send."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aws_calls import ask, call_of, client_for
from aws_wire_server import Reply, Wait, WireServer, failure, part, wire_server

from pilotage.route.answer import Usage
from pilotage.route.backends import Fault
from pilotage.route.backends.sagemaker import MOST_BYTES, SageMakerBackend

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def shared_server() -> Iterator[WireServer]:
    with wire_server() as server:
        yield server


@pytest.fixture
def server(shared_server: WireServer) -> WireServer:
    shared_server.asked.clear()
    shared_server.left.clear()
    return shared_server


@pytest.fixture(scope="module")
def client(shared_server: WireServer) -> Any:
    return client_for("sagemaker-runtime", shared_server.url)


def backend_of(client: Any, model: str | None = "qwen", **limits: Any) -> SageMakerBackend:
    given = {"timeout_s": 5.0, "first_token_timeout_s": 5.0, "max_concurrency": 8, **limits}
    return SageMakerBackend(
        "own/0", endpoint="my-endpoint", model=model, region=None, client=client, **given
    )


@pytest.fixture
async def backend(client: Any) -> AsyncIterator[SageMakerBackend]:
    made = backend_of(client)
    yield made
    made._runtime._threads.close()  # the client is shared


def sse(text: str | None = None, reason: str | None = None, **more: Any) -> bytes:
    delta = {} if text is None else {"content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
    data = {"object": "chat.completion.chunk", "model": "qwen", "choices": choices, **more}
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
STREAM = b"".join(
    [
        sse("Hel"),
        sse("lö"),
        sse(None, "stop"),
        sse(choices=[], usage=USAGE),
        b"data: [DONE]\n\n",
    ]
)


async def test_an_answer_streams_with_its_usage(
    backend: SageMakerBackend, server: WireServer
) -> None:
    server.will([part(STREAM)])
    told = await ask(backend, call_of(max_tokens=4))
    assert (told.text, told.reasons, told.error) == ("Hellö", ["stop"], None)
    assert told.usage == Usage(prompt_tokens=7, completion_tokens=3)
    assert told.chunks[0].model == "qwen"
    asked = server.asked[0]
    assert asked.path == "/endpoints/my-endpoint/invocations-response-stream"
    assert asked.body == {
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 4,
        "model": "qwen",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_a_container_without_names_gets_none(client: Any, server: WireServer) -> None:
    server.will([part(STREAM)])
    await ask(backend_of(client, None), call_of())
    assert "model" not in server.asked[0].body


@pytest.mark.parametrize("size", [1, 5, 64])
async def test_parts_are_cut_anywhere(
    backend: SageMakerBackend, server: WireServer, size: int
) -> None:
    server.will([b"".join(part(STREAM[at : at + size]) for at in range(0, len(STREAM), size))])
    told = await ask(backend, call_of())
    assert (told.text, told.reasons, told.error) == ("Hellö", ["stop"], None)
    assert told.usage == Usage(prompt_tokens=7, completion_tokens=3)


async def test_connections_are_kept(backend: SageMakerBackend, server: WireServer) -> None:
    server.will([part(STREAM)])
    for _ in range(12):
        assert (await ask(backend, call_of())).text == "Hellö"
        await asyncio.sleep(0.02)  # the thread reads the connection's end after the answer's
    assert len({asked.connection for asked in server.asked}) < 12


async def test_a_container_that_knows_no_streams_answers_in_one(
    backend: SageMakerBackend, server: WireServer
) -> None:
    message = {"role": "assistant", "content": "Hello"}
    whole = json.dumps(
        {"choices": [{"index": 0, "message": message, "finish_reason": "length"}], "usage": USAGE}
    ).encode()
    server.will([part(b" "), part(whole[:20]), part(whole[20:])])
    told = await ask(backend, call_of())
    assert (told.text, told.reasons, told.error) == ("Hello", ["length"], None)
    assert told.usage == Usage(prompt_tokens=7, completion_tokens=3)


async def test_an_endpoint_that_cannot_stream_is_asked_for_the_whole_from_then_on(
    backend: SageMakerBackend, server: WireServer
) -> None:
    message = {"role": "assistant", "content": "Hello"}
    whole = Reply.json({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    no = Reply.error("ValidationError", 400, "Endpoint does not support response streaming.")
    server.will(no, whole)
    for _ in range(2):
        told = await ask(backend, call_of())
        assert (told.text, told.reasons, told.error) == ("Hello", ["stop"], None)
    kinds = [asked.path.rpartition("/")[2] for asked in server.asked]
    assert kinds == ["invocations-response-stream", "invocations", "invocations"]
    assert server.asked[1].body["stream"] is False
    assert "stream_options" not in server.asked[1].body


async def test_a_request_beyond_the_limit_is_not_sent(
    backend: SageMakerBackend, server: WireServer
) -> None:
    told = await ask(backend, call_of({"role": "user", "content": "x" * MOST_BYTES}))
    assert told.error is not None
    assert (told.error.fault, told.error.status) == (Fault.REFUSED, 413)
    assert server.asked == []


async def test_what_is_no_json_is_not_sent(backend: SageMakerBackend, server: WireServer) -> None:
    nested: list[Any] = []
    for _ in range(5000):
        nested = [nested]
    for call in (call_of({"role": "user", "content": "\ud800"}), call_of(metadata=nested)):
        told = await ask(backend, call)
        assert told.error is not None
        assert told.error.fault is Fault.REFUSED
    assert server.asked == []


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (Reply.error("ThrottlingException", 400), Fault.RATE_LIMITED),
        (Reply.error("ServiceUnavailable", 503), Fault.OVERLOADED),
        (Reply.error("InternalFailure", 500), Fault.FAILED),
        (Reply.error("AccessDeniedException", 403), Fault.DENIED),
        (Reply.error("ValidationError", 400, "Body is malformed"), Fault.REFUSED),
        (
            Reply.error("ValidationError", 400, "Endpoint my-endpoint of account 12 not found."),
            Fault.DENIED,
        ),
        (Reply.error("ModelError", 424, "no", OriginalStatusCode=400), Fault.REFUSED),
        (Reply.error("ModelError", 424, "no", OriginalStatusCode=429), Fault.RATE_LIMITED),
        (Reply.error("ModelError", 424, "no", OriginalStatusCode=503), Fault.OVERLOADED),
        (Reply.error("ModelError", 424, "no", OriginalStatusCode=500), Fault.FAILED),
        (Reply.error("ModelError", 424, "no"), Fault.FAILED),
        (
            Reply.error("ModelError", 424, "Your invocation timed out while waiting"),
            Fault.TIMEOUT,
        ),
    ],
)
async def test_errors_before_the_answer(
    backend: SageMakerBackend, server: WireServer, reply: Reply, fault: Fault
) -> None:
    server.will(reply)
    told = await ask(backend, call_of())
    assert told.error is not None
    assert told.error.fault is fault
    assert len(server.asked) == 1


@pytest.mark.parametrize("kind", ["ModelStreamError", "InternalStreamFailure"])
async def test_errors_within_the_stream(
    backend: SageMakerBackend, server: WireServer, kind: str
) -> None:
    server.will([failure(kind, "no")])
    told = await ask(backend, call_of())
    assert told.error is not None
    assert told.error.fault is Fault.FAILED
    server.will([part(sse("Hel")), failure(kind, "no")])
    told = await ask(backend, call_of())
    assert told.error is not None
    assert (told.text, told.error.fault) == ("Hel", Fault.CUT)


@pytest.mark.parametrize("whole", [True, False])
async def test_a_stream_without_an_end_is_cut(
    backend: SageMakerBackend, server: WireServer, whole: bool
) -> None:
    server.will(Reply([part(sse("Hel"))], whole=whole))
    told = await ask(backend, call_of())
    assert told.error is not None
    assert (told.text, told.error.fault) == ("Hel", Fault.CUT)


async def test_usage_lost_after_the_end_is_no_error(
    backend: SageMakerBackend, server: WireServer
) -> None:
    server.will(Reply([part(sse("Hello")), part(sse(None, "stop"))], whole=False))
    told = await ask(backend, call_of())
    assert (told.text, told.reasons, told.usage, told.error) == ("Hello", ["stop"], None, None)


@pytest.mark.parametrize(
    "answer",
    [b'{"token": {"text": "Hel"}}\n{"token": {"text": "lo"}}\n', b"data: {broken\n\n"],
)
async def test_other_forms_of_answer_are_garbage(
    backend: SageMakerBackend, server: WireServer, answer: bytes
) -> None:
    server.will([part(answer)])
    told = await ask(backend, call_of())
    assert told.error is not None
    assert told.error.fault is Fault.GARBAGE


async def test_closing_hangs_up(backend: SageMakerBackend, server: WireServer) -> None:
    server.will(Reply([part(sse("Hel")), Wait()]))
    chunks = backend.complete(call_of())
    assert (await anext(chunks)).text == "Hel"
    await chunks.aclose()
    assert await asyncio.to_thread(server.left.wait, 5)


async def test_silence_is_a_timeout(client: Any, server: WireServer) -> None:
    backend = backend_of(client, first_token_timeout_s=0.5)
    server.will(Reply([Wait()]))
    told = await ask(backend, call_of())
    assert told.error is not None
    assert told.error.fault is Fault.TIMEOUT
    assert await asyncio.to_thread(server.left.wait, 5)
