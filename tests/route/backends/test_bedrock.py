"""Bedrock over its own wire format: real boto3, a real socket, faults."""

import asyncio
import logging
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_calls import ask, call_of, client_for
from aws_wire_server import Reply, Wait, WireServer, event, failure, wire_server

from pilotage.route.answer import Usage
from pilotage.route.backends import Fault
from pilotage.route.backends.bedrock import BedrockBackend

pytestmark = pytest.mark.anyio

CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
LLAMA = "us.meta.llama4-scout-17b-instruct-v1:0"
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


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
    shared_server.arrived.clear()
    return shared_server


@pytest.fixture(scope="module")
def client(shared_server: WireServer) -> Any:
    return client_for("bedrock-runtime", shared_server.url)


def backend_of(client: Any, model_id: str = CLAUDE, **limits: Any) -> BedrockBackend:
    given = {"timeout_s": 5.0, "first_token_timeout_s": 5.0, "max_concurrency": 8, **limits}
    return BedrockBackend("big/0", model_id=model_id, region=None, client=client, **given)


@pytest.fixture
async def backend(client: Any) -> AsyncIterator[BedrockBackend]:
    made = backend_of(client)
    yield made
    made._runtime._threads.close()  # the client is shared


def text(words: str, index: int = 0) -> bytes:
    return event("contentBlockDelta", {"delta": {"text": words}, "contentBlockIndex": index})


def stop(reason: str = "end_turn") -> bytes:
    return event("messageStop", {"stopReason": reason})


def usage(**counts: int) -> bytes:
    given = {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10, **counts}
    return event("metadata", {"usage": given, "metrics": {"latencyMs": 5}})


START = event("messageStart", {"role": "assistant"})


async def test_an_answer_streams_with_its_usage(
    backend: BedrockBackend, server: WireServer
) -> None:
    server.will([START, text("Hel"), text("lo"), stop(), usage()])
    told = await ask(backend, call_of(temperature=0.5, max_tokens=9))
    assert told.error is None
    assert [chunk.text for chunk in told.chunks] == ["Hel", "lo", ""]
    assert told.reasons == ["stop"]
    assert told.chunks[-1].usage == Usage(prompt_tokens=7, completion_tokens=3)
    assert server.asked[0].path == f"/model/{CLAUDE}/converse-stream"
    assert server.asked[0].body["inferenceConfig"] == {"maxTokens": 9, "temperature": 0.5}


@pytest.mark.parametrize(
    "model_id",
    [
        "amazon.nova-lite-v1:0",
        "global.anthropic.claude-opus-5",
        "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghij12",
        "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123def456",
    ],
)
async def test_whatever_names_a_model_is_passed_on(
    client: Any, server: WireServer, model_id: str
) -> None:
    server.will([text("x"), stop(), usage()])
    told = await ask(backend_of(client, model_id), call_of())
    assert told.text == "x"
    assert server.asked[0].path == f"/model/{model_id}/converse-stream"


async def test_frames_may_be_cut_anywhere(backend: BedrockBackend, server: WireServer) -> None:
    stream = b"".join([START, text("straße "), text("日本"), stop(), usage()])
    server.will([stream[at : at + 7] for at in range(0, len(stream), 7)])
    told = await ask(backend, call_of())
    assert (told.text, told.reasons, told.error) == ("straße 日本", ["stop"], None)


async def test_tool_calls_are_counted_as_openai_counts(
    backend: BedrockBackend, server: WireServer
) -> None:
    def start(index: int, name: str) -> bytes:
        tool = {"toolUseId": f"t-{index}", "name": name}
        return event("contentBlockStart", {"start": {"toolUse": tool}, "contentBlockIndex": index})

    def more(index: int, arguments: str) -> bytes:
        delta = {"toolUse": {"input": arguments}}
        return event("contentBlockDelta", {"delta": delta, "contentBlockIndex": index})

    server.will(
        [
            START,
            text("Looking."),
            start(1, "weather"),
            more(1, '{"city": '),
            more(1, '"Wien"}'),
            start(2, "clock"),
            more(2, "{}"),
            stop("tool_use"),
            usage(),
        ]
    )
    told = await ask(backend, call_of(tools=TOOLS))
    assert told.text == "Looking."
    assert told.reasons == ["tool_calls"]
    assert told.tool_calls == [
        {"id": "t-1", "type": "function", "name": "weather", "arguments": '{"city": "Wien"}'},
        {"id": "t-2", "type": "function", "name": "clock", "arguments": "{}"},
    ]


async def test_reasoning_is_told_apart(backend: BedrockBackend, server: WireServer) -> None:
    def thought(**delta: str) -> bytes:
        reasoning = {"reasoningContent": delta}
        return event("contentBlockDelta", {"delta": reasoning, "contentBlockIndex": 0})

    server.will([thought(text="Hm."), thought(signature="s"), text("42", 1), stop(), usage()])
    told = await ask(backend, call_of())
    assert (told.reasoning, told.text) == ("Hm.", "42")


@pytest.mark.parametrize(
    ("reason", "meant"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("content_filtered", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("a_reason_of_next_year", "stop"),
    ],
)
async def test_stop_reasons_in_openais_words(
    backend: BedrockBackend, server: WireServer, reason: str, meant: str
) -> None:
    server.will([text("x"), stop(reason), usage()])
    assert (await ask(backend, call_of())).reasons == [meant]


async def test_malformed_output_is_a_failure_that_was_billed(
    backend: BedrockBackend, server: WireServer
) -> None:
    server.will([START, stop("malformed_tool_use"), usage()])
    told = await ask(backend, call_of())
    assert told.error is not None
    assert told.error.fault is Fault.FAILED
    assert told.error.usage == Usage(prompt_tokens=7, completion_tokens=3)


async def test_cached_tokens_are_beside_the_input_tokens(
    backend: BedrockBackend, server: WireServer
) -> None:
    server.will([text("x"), stop(), usage(cacheReadInputTokens=100, cacheWriteInputTokens=20)])
    told = await ask(backend, call_of())
    assert told.usage == Usage(
        prompt_tokens=127, completion_tokens=3, cache_read_tokens=100, cache_write_tokens=20
    )


async def test_streams_of_openais_models_count_them_within(client: Any, server: WireServer) -> None:
    # As measured: a stream of inputTokens 4995 with 4993 of them written to the cache.
    server.will([text("x"), stop(), usage(inputTokens=4995, cacheWriteInputTokens=4993)])
    told = await ask(backend_of(client, "us.openai.gpt-5.6-sol"), call_of())
    assert told.usage is not None
    assert (told.usage.prompt_tokens, told.usage.cache_write_tokens) == (4995, 4993)


async def test_the_router_of_prompts_says_which_model_answered(
    backend: BedrockBackend, server: WireServer
) -> None:
    arn = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-5-5"
    trace = {"promptRouter": {"invokedModelId": arn}}
    told = {
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
        "metrics": {"latencyMs": 1},
        "trace": trace,
    }
    server.will([text("x"), stop(), event("metadata", told)])
    assert (await ask(backend, call_of())).chunks[-1].model == arn


@pytest.mark.parametrize(
    ("code", "status", "fault"),
    [
        ("ThrottlingException", 429, Fault.RATE_LIMITED),
        ("ModelNotReadyException", 429, Fault.OVERLOADED),
        ("ServiceUnavailableException", 503, Fault.OVERLOADED),
        ("ModelTimeoutException", 408, Fault.TIMEOUT),
        ("InternalServerException", 500, Fault.FAILED),
        ("ModelErrorException", 424, Fault.FAILED),
        ("ValidationException", 400, Fault.REFUSED),
        ("AccessDeniedException", 403, Fault.DENIED),
        ("UnrecognizedClientException", 403, Fault.DENIED),
        ("ExpiredTokenException", 403, Fault.DENIED),
        ("ResourceNotFoundException", 404, Fault.DENIED),
        ("SomethingOfNextYear", 502, Fault.FAILED),
        ("SomethingOfNextYear", 413, Fault.REFUSED),
    ],
)
async def test_errors_before_the_answer(
    backend: BedrockBackend, server: WireServer, code: str, status: int, fault: Fault
) -> None:
    server.will(Reply.error(code, status, "arn:aws:iam::123456789012:user/me may not"))
    told = await ask(backend, call_of())
    assert told.error is not None
    assert told.error.fault is fault
    assert "123456789012" not in told.error.message
    assert (told.error.detail is not None) == (fault is Fault.REFUSED)
    assert len(server.asked) == 1, "the only loop that tries again is the tier's"


async def test_throttling_may_say_when_to_come_back(
    backend: BedrockBackend, server: WireServer
) -> None:
    server.will(Reply.error("ThrottlingException", 429, retry_after=3))
    told = await ask(backend, call_of())
    assert told.error is not None
    assert (told.error.retry_after_s, told.error.status) == (3.0, 429)


@pytest.mark.parametrize(
    "message",
    [
        "The provided model identifier is invalid.",
        "Invocation of model ID x with on-demand throughput isn't supported. Retry your request",
        "This model version has reached the end of its life.",
    ],
)
async def test_a_model_that_is_not_there_is_the_operators_matter(
    backend: BedrockBackend, server: WireServer, message: str
) -> None:
    server.will(Reply.error("ValidationException", 400, message))
    told = await ask(backend, call_of())
    assert told.error is not None
    assert told.error.fault is Fault.DENIED


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("modelStreamErrorException", Fault.FAILED, Fault.CUT),
        ("internalServerException", Fault.FAILED, Fault.CUT),
        ("throttlingException", Fault.RATE_LIMITED, Fault.CUT),
        ("serviceUnavailableException", Fault.OVERLOADED, Fault.CUT),
        ("validationException", Fault.REFUSED, Fault.CUT),
    ],
)
async def test_errors_within_the_stream(
    backend: BedrockBackend, server: WireServer, kind: str, before: Fault, after: Fault
) -> None:
    server.will([START, failure(kind, "no")])
    told = await ask(backend, call_of())
    assert told.error is not None
    assert told.error.fault is before
    server.will([START, text("Hel"), failure(kind, "no")])
    told = await ask(backend, call_of())
    assert told.error is not None
    assert (told.text, told.error.fault) == ("Hel", after)


@pytest.mark.parametrize("whole", [True, False])
async def test_a_stream_that_ends_early_is_cut(
    backend: BedrockBackend, server: WireServer, whole: bool
) -> None:
    server.will(Reply([START, text("Hel")], whole=whole))
    told = await ask(backend, call_of())
    assert told.error is not None
    assert (told.text, told.error.fault, told.reasons) == ("Hel", Fault.CUT, [])


async def test_a_stream_cut_before_the_first_word_may_be_asked_for_again(
    backend: BedrockBackend, server: WireServer
) -> None:
    server.will(Reply([START], whole=False))
    told = await ask(backend, call_of())
    assert told.error is not None
    assert told.error.fault is Fault.FAILED


async def test_usage_lost_after_the_end_is_no_error(
    backend: BedrockBackend, server: WireServer
) -> None:
    server.will(Reply([text("Hello"), stop()], whole=False))
    told = await ask(backend, call_of())
    assert (told.text, told.reasons, told.usage, told.error) == ("Hello", ["stop"], None, None)


async def test_a_frame_with_a_wrong_checksum_is_garbage(
    backend: BedrockBackend, server: WireServer
) -> None:
    damaged = bytearray(text("Hello"))
    damaged[-6] ^= 1
    server.will([bytes(damaged), stop()])
    told = await ask(backend, call_of())
    assert told.error is not None
    assert (told.text, told.error.fault) == ("", Fault.GARBAGE)


async def test_no_server_is_unreachable() -> None:
    backend = backend_of(client_for("bedrock-runtime", "http://127.0.0.1:9"))
    told = await ask(backend, call_of())
    assert told.error is not None
    assert told.error.fault is Fault.UNREACHABLE
    await backend.close()


async def test_silence_before_the_first_token_is_a_timeout(client: Any, server: WireServer) -> None:
    backend = backend_of(client, first_token_timeout_s=0.5)
    server.will(Reply([START, Wait()]))
    told = await ask(backend, call_of())
    assert told.error is not None
    assert told.error.fault is Fault.TIMEOUT
    assert await asyncio.to_thread(server.left.wait, 5), "the connection is closed"


async def test_an_answer_that_never_ends_is_a_timeout(client: Any, server: WireServer) -> None:
    backend = backend_of(client, first_token_timeout_s=1.0, timeout_s=1.0)
    server.will(Reply([text("Hel"), Wait()]))
    told = await ask(backend, call_of())
    assert told.error is not None
    assert (told.text, told.error.fault) == ("Hel", Fault.TIMEOUT)


async def test_the_requests_deadline_ends_it(backend: BedrockBackend, server: WireServer) -> None:
    server.will(Reply([text("Hel"), Wait()]))
    call = call_of()
    late = type(call)(body=call.body, request_id="r", deadline=time.monotonic() + 0.1)
    told = await ask(backend, late)
    assert told.error is not None
    assert told.error.fault is Fault.TIMEOUT


async def test_closing_hangs_up(backend: BedrockBackend, server: WireServer) -> None:
    server.will(Reply([text("Hel"), Wait()]))
    chunks = backend.complete(call_of())
    assert (await anext(chunks)).text == "Hel"
    await chunks.aclose()
    assert await asyncio.to_thread(server.left.wait, 5)


async def test_closing_before_the_headers_hangs_up_as_soon_as_they_come(
    backend: BedrockBackend, server: WireServer
) -> None:
    generating = Wait()
    server.will(Reply([text("Hel"), Wait()], before=generating))
    task = asyncio.create_task(ask(backend, call_of()))
    assert await asyncio.to_thread(server.arrived.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    generating.set()
    assert await asyncio.to_thread(server.left.wait, 5)


async def test_cancelling_hangs_up(backend: BedrockBackend, server: WireServer) -> None:
    server.will(Reply([text("Hel"), Wait()]))
    began = asyncio.Event()

    async def read() -> None:
        async for _ in backend.complete(call_of()):
            began.set()

    task = asyncio.create_task(read())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(server.left.wait, 5)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")
async def test_closing_hangs_up_over_tls_too(tmp_path: Path) -> None:
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    await asyncio.to_thread(
        subprocess.run,
        ["openssl", "req", "-x509", *new, *name, *files],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with wire_server(context) as server:
        trust = str(tmp_path / "cert.pem")
        backend = backend_of(client_for("bedrock-runtime", server.url, verify=trust))
        server.will([text("Hello"), stop(), usage()])
        assert (await ask(backend, call_of())).text == "Hello"
        server.will(Reply([text("Hel"), Wait()]))
        chunks = backend.complete(call_of())
        await anext(chunks)
        await chunks.aclose()
        assert await asyncio.to_thread(server.left.wait, 5)
        await backend.close()


async def test_a_reader_that_falls_behind_gets_everything(
    backend: BedrockBackend, server: WireServer
) -> None:
    words = [f"{number} " for number in range(2000)]
    server.will([*map(text, words), stop(), usage()])
    found = []
    async for chunk in backend.complete(call_of()):
        if len(found) == 10:
            await asyncio.sleep(0.05)
        found.append(chunk.text)
    assert "".join(found) == "".join(words)


async def test_answers_run_side_by_side_and_are_not_mixed(
    backend: BedrockBackend, server: WireServer
) -> None:
    def echo(asked: Any) -> Reply:
        word = asked.body["messages"][0]["content"][0]["text"]
        return Reply([text(word), text(word), stop(), usage()])

    server.will(echo)
    calls = [call_of({"role": "user", "content": f"w{number}"}) for number in range(40)]
    told = await asyncio.gather(*(ask(backend, call) for call in calls))
    assert [one.text for one in told] == [f"w{number}" * 2 for number in range(40)]
    assert len({asked.connection for asked in server.asked}) <= 10, "connections are kept"


async def test_more_answers_than_threads_wait_and_then_fail_as_overload(
    client: Any, server: WireServer
) -> None:
    backend = backend_of(client, max_concurrency=1, first_token_timeout_s=1.0)
    server.will(Reply([text("Hel"), Wait()]))
    first = backend.complete(call_of())
    await anext(first)
    told = await ask(backend, call_of())
    assert told.error is not None
    assert told.error.fault is Fault.OVERLOADED
    await first.aclose()


async def test_closing_the_backend_ends_what_is_read(server: WireServer) -> None:
    backend = backend_of(client_for("bedrock-runtime", server.url))
    server.will(Reply([text("Hel"), Wait()]))
    chunks = backend.complete(call_of())
    await anext(chunks)
    await backend.close()
    told = await ask(backend, call_of())
    assert told.error is not None
    assert told.error.fault is Fault.UNREACHABLE
    assert await asyncio.to_thread(server.left.wait, 5)


WHOLE = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "Hm."}}},
                {"text": "Looking."},
                {"toolUse": {"toolUseId": "t", "name": "weather", "input": {"city": "Wien"}}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7, "cacheReadInputTokens": 4},
    "metrics": {"latencyMs": 3},
}


async def test_llamas_answers_with_tools_come_whole(client: Any, server: WireServer) -> None:
    server.will(Reply.json(WHOLE))
    told = await ask(backend_of(client, LLAMA), call_of(tools=TOOLS))
    assert server.asked[0].path.endswith("/converse")
    assert (told.reasoning, told.text, told.reasons) == ("Hm.", "Looking.", ["tool_calls"])
    assert told.tool_calls[0]["arguments"] == '{"city": "Wien"}'
    assert told.usage == Usage(prompt_tokens=9, completion_tokens=2, cache_read_tokens=4)


async def test_a_model_that_says_it_cannot_stream_is_asked_for_the_whole_from_then_on(
    backend: BedrockBackend, server: WireServer
) -> None:
    no = "This model doesn't support tool use in streaming mode."
    server.will(Reply.error("ValidationException", 400, no), Reply.json(WHOLE))
    for _ in range(2):
        assert (await ask(backend, call_of(tools=TOOLS))).text == "Looking."
    kinds = [asked.path.rpartition("/")[2] for asked in server.asked]
    assert kinds == ["converse-stream", "converse", "converse"]
    server.will([text("x"), stop(), usage()])
    assert (await ask(backend, call_of())).text == "x"
    assert server.asked[-1].path.endswith("/converse-stream"), "without tools it streams still"


async def test_a_whole_answer_may_take_longer_than_a_first_token(
    client: Any, server: WireServer
) -> None:
    later = Wait()
    reply = Reply.json(WHOLE)
    server.will(Reply(reply.pieces, headers=reply.headers, before=later))
    backend = backend_of(client, LLAMA, first_token_timeout_s=0.5)
    task = asyncio.create_task(ask(backend, call_of(tools=TOOLS)))
    await asyncio.sleep(0.7)
    later.set()
    assert (await task).text == "Looking."


async def test_a_request_that_cannot_be_told_asks_nothing(
    backend: BedrockBackend, server: WireServer
) -> None:
    told = await ask(backend, call_of(seed=1))
    assert told.error is not None
    assert (told.error.fault, told.error.message) == (
        Fault.REFUSED,
        'Bedrock has nothing for "seed"',
    )
    assert server.asked == []


async def test_a_schema_without_a_bottom_is_refused(
    backend: BedrockBackend, server: WireServer
) -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(5000):
        schema = {"type": "object", "properties": {"a": schema}}
    server.will([text("x"), stop(), usage()])
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    told = await ask(backend, call_of(tools=[tool]))
    assert told.error is not None
    assert told.error.fault is Fault.REFUSED
    assert server.asked == []


async def test_nothing_of_the_prompt_or_the_keys_is_logged(
    backend: BedrockBackend, server: WireServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.will(Reply.error("ValidationException", 400, "the secret prompt is bad"))
    await ask(backend, call_of({"role": "user", "content": "the secret prompt"}))
    assert "secret" not in caplog.text
    assert "AKIDEXAMPLE" not in caplog.text
