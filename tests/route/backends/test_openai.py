"""One backend over a real socket: what is sent, what comes back, and what goes wrong."""

import asyncio
import json
import time
from contextlib import aclosing

import pytest
from chat_faults import HONEST, LIES, ChatServer, backend, call, chat_server, delta, event, posted

from pilotage.errors import UsageError
from pilotage.route.answer import Chunk, Usage
from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.openai import OpenAIBackend
from pilotage.route.call import Call

TOLD = Usage(prompt_tokens=20, completion_tokens=5, cache_read_tokens=8)


async def chunks_of(one: OpenAIBackend, asked: Call | None = None) -> list[Chunk]:
    async with aclosing(one.complete(asked or call())) as chunks:
        return [chunk async for chunk in chunks]


async def fault_of(one: OpenAIBackend, asked: Call | None = None) -> BackendError:
    with pytest.raises(BackendError) as caught:
        await chunks_of(one, asked)
    return caught.value


async def bytes_of(one: OpenAIBackend, body: bytes, *, stream: bool) -> bytes:
    answer = await one.forward(body, stream=stream)
    async with aclosing(answer):
        return b"".join([piece async for piece in answer])


def streamed(server: ChatServer, *events: bytes) -> str:
    """A behaviour: a stream of these events, then the connection's end."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    name = f"raw-{len(server.raw)}"
    server.raw[name] = head + b"".join(events)
    server.behaviours.append(name)
    return name


def test_asks_for_a_stream_with_usage_and_gives_its_chunks() -> None:
    async def run() -> None:
        async with chat_server() as server:
            one = backend(server.url)
            chunks = await chunks_of(one, call("hi", max_tokens=7, temperature=0.5))
            await one.close()
        [served] = server.served
        assert served.path == "/v1/chat/completions"
        assert served.headers["authorization"] == "Bearer sk-secret"
        assert served.body == {
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 7,
            "temperature": 0.5,
            "model": "asked",
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        assert "".join(chunk.text for chunk in chunks) == served.text
        assert chunks[0].model == "m-0"
        assert chunks[-1].finish_reason == "stop"
        assert chunks[-1].usage == TOLD
        assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)

    asyncio.run(run())


def test_all_that_a_delta_can_hold() -> None:
    async def run() -> None:
        async with chat_server() as server:
            told = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -2}]}
            begin = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a"'}}
            deltas = [
                {"role": "assistant", "content": ""},
                {"reasoning_content": "hm"},
                {"content": [{"type": "text", "text": "parts"}]},
                {"refusal": "no"},
                {"tool_calls": [begin]},
            ]
            streamed(
                server,
                *(event({"choices": [{"index": 0, "delta": one}]}) for one in deltas),
                event({"choices": [{"index": 1, "delta": {"content": "another choice"}}]}),
                event({"choices": [{"index": 0, "delta": {"content": "ab"}, "logprobs": told}]}),
                b": a comment\n\n",
                event({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
                event(b"[DONE]"),
            )
            one = backend(server.url)
            chunks = await chunks_of(one)
            await one.close()
        assert [(chunk.text, chunk.reasoning) for chunk in chunks] == [
            ("", "hm"),
            ("parts", ""),
            ("no", ""),
            ("", ""),
            ("ab", ""),
            ("", ""),
        ]
        assert chunks[3].tool_calls == (begin,)
        assert chunks[4].logprobs == (-0.5, -2.0)
        assert chunks[-1] == Chunk(finish_reason="tool_calls")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("behaviour", "fault"),
    [
        ("dead", Fault.UNREACHABLE),
        ("silent", Fault.TIMEOUT),
        ("hang", Fault.TIMEOUT),
        ("429", Fault.RATE_LIMITED),
        ("503", Fault.OVERLOADED),
        ("500", Fault.FAILED),
        ("502", Fault.FAILED),
        ("504", Fault.TIMEOUT),
        ("400", Fault.REFUSED),
        ("422", Fault.REFUSED),
        ("401", Fault.DENIED),
        ("404", Fault.DENIED),
        ("302", Fault.DENIED),
        ("204", Fault.GARBAGE),
        ("cut", Fault.CUT),
        ("cut-clean", Fault.CUT),
        ("error-event", Fault.FAILED),
        ("garbage-event", Fault.GARBAGE),
        ("web-page", Fault.GARBAGE),
        ("not-http", Fault.GARBAGE),
    ],
)
def test_what_goes_wrong_has_a_name(behaviour: str, fault: Fault) -> None:
    async def run() -> None:
        async with chat_server(behaviour, behaviour, behaviour) as server:
            one = backend(server.url, timeout_s=0.2, first_token_timeout_s=0.15)
            errors = [await fault_of(one, call("my secret prompt"))]
            for stream in (True, False):
                with pytest.raises(BackendError) as caught:
                    await bytes_of(one, posted("my secret prompt", stream=stream), stream=stream)
                errors.append(caught.value)
            await one.close()
        parsed, raw, whole = errors
        # Nobody parses what is passed on, nor knows that half of a JSON body is one's end.
        expected = Fault.GARBAGE if behaviour == "cut-clean" else fault
        assert parsed.fault is fault
        assert raw.fault is (Fault.CUT if behaviour == "garbage-event" else fault)
        assert whole.fault is expected
        for error in errors:
            assert "secret" not in error.message
        if behaviour == "429":
            assert parsed.retry_after_s == pytest.approx(0.004)
        if behaviour.isdigit():
            assert parsed.status == int(behaviour)
            # A refusal is about the request, and the client may read it; no other says a word.
            assert ("my secret prompt" in (parsed.detail or "")) == (fault is Fault.REFUSED)

    asyncio.run(run())


@pytest.mark.parametrize("behaviour", list(LIES))
def test_usage_that_cannot_be_true_is_none(behaviour: str) -> None:
    async def run() -> None:
        async with chat_server(behaviour, behaviour, behaviour) as server:
            one = backend(server.url)
            chunks = await chunks_of(one)
            assert chunks[-1].finish_reason == "stop"
            assert chunks[-1].usage is None
            for stream in (True, False):
                answer = await one.forward(posted(stream=stream), stream=stream)
                async with aclosing(answer):
                    assert b"w" in b"".join([piece async for piece in answer])
                assert answer.usage is None
                assert answer.tokens > 0
            await one.close()

    asyncio.run(run())


def test_a_stream_may_end_without_done_or_without_a_reason_but_not_without_both() -> None:
    async def run() -> None:
        async with chat_server("no-done") as server:
            one = backend(server.url)
            assert (await chunks_of(one))[-1].usage == TOLD
            text = event({"choices": [{"index": 0, "delta": {"content": "ok"}}]})
            streamed(server, text, event(b"[DONE]"))
            assert (await chunks_of(one))[-1] == Chunk(finish_reason="stop")
            streamed(server, event(b"[DONE]"))
            assert (await fault_of(one)).fault is Fault.CUT
            # The end of the connection in the middle of an event is no end of the answer.
            streamed(server, text, b"data: [DO")
            assert (await fault_of(one)).fault is Fault.CUT
            await one.close()

    asyncio.run(run())


def test_an_answer_without_usage_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pilotage.route.backends.openai._AFTER_FINISH_S", 0.05)

    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            writer.write(event({"choices": [{"delta": {"content": "ok"}}]}))
            writer.write(event({"choices": [{"delta": {}, "finish_reason": "length"}]}))
            await reader.read()  # until the client hangs up
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        one = backend(f"http://127.0.0.1:{port}", timeout_s=3600, first_token_timeout_s=3600)
        chunks = await chunks_of(one)
        assert chunks[-1] == Chunk(finish_reason="length")
        await one.close()
        server.close()
        await asyncio.sleep(0.01)

    asyncio.run(run())


def test_a_server_that_knows_no_stream_answers_all_the_same() -> None:
    async def run() -> None:
        async with chat_server() as server:
            call_ = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            answer = {
                "model": "m",
                "choices": [
                    {"message": {"content": "x", "tool_calls": [call_]}, "finish_reason": "stop"}
                ],
                "usage": HONEST,
            }
            body = json.dumps(answer).encode()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
            server.raw["whole"] = head + body
            server.behaviours.append("whole")
            one = backend(server.url)
            chunks = await chunks_of(one)
            await one.close()
        assert chunks == [
            Chunk(text="x", tool_calls=({"index": 0, **call_},), model="m"),
            Chunk(finish_reason="stop", usage=TOLD),
        ]

    asyncio.run(run())


def test_an_error_before_the_first_word_says_what_it_is() -> None:
    async def run() -> None:
        async with chat_server() as server:
            one = backend(server.url)
            busy = {"error": {"message": "slow down", "code": 429}}
            for _ in range(2):
                streamed(server, event(busy))
            assert (await fault_of(one)).fault is Fault.RATE_LIMITED
            with pytest.raises(BackendError) as caught:
                await bytes_of(one, posted(stream=True), stream=True)
            assert caught.value.fault is Fault.RATE_LIMITED
            await one.close()

    asyncio.run(run())


def test_money_that_is_spent_is_not_a_rate_limit() -> None:
    async def run() -> None:
        async with chat_server("none-left") as server:
            body = b'{"error": {"message": "pay", "code": "insufficient_quota"}}'
            server.raw["none-left"] = b"HTTP/1.1 429 No\r\nContent-Length: %d\r\n\r\n%s" % (
                len(body),
                body,
            )
            one = backend(server.url)
            error = await fault_of(one)
            await one.close()
        assert error.fault is Fault.DENIED
        assert "insufficient_quota" in error.message

    asyncio.run(run())


def test_bytes_are_passed_on_as_they_are() -> None:
    async def run() -> None:
        async with chat_server() as server:
            one = backend(server.url)
            asked = posted(stream=True, stream_options={"include_usage": True})
            got = await bytes_of(one, asked, stream=True)
            served = server.served[0]
            assert got == b"".join(
                [
                    *(event(delta(served, word)) for word in served.words),
                    event(
                        {
                            "model": "m-0",
                            "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
                        }
                    ),
                    event({"model": "m-0", "choices": [], "usage": HONEST}),
                    event(b"[DONE]"),
                ]
            )
            whole = json.loads(await bytes_of(one, posted(stream=False), stream=False))
            assert whole["choices"][0]["message"]["content"] == server.served[1].text
            assert server.served[1].body["model"] == "asked"
            assert "stream_options" not in server.served[1].body
            await one.close()
        assert server.connections == 1

    asyncio.run(run())


def test_usage_that_the_client_did_not_ask_for_is_kept_from_it() -> None:
    async def run() -> None:
        async with chat_server() as server:
            one = backend(server.url)
            answer = await one.forward(posted(stream=True), stream=True)
            got = b"".join([piece async for piece in answer])
            await answer.aclose()
            await one.close()
        assert server.served[0].body["stream_options"] == {"include_usage": True}
        assert b"usage" not in got
        assert got.endswith(event(b"[DONE]"))
        assert got.count(b"data: ") == 7
        assert answer.usage == TOLD
        assert answer.model == "m-0"
        assert answer.finished

    asyncio.run(run())


WHOLE = (
    b'{"id": "i", "object": "chat.completion", "created": 7, "model": "m", "choices": [{"index": 0,'
    b' "message": {"role": "assistant", "content": "x", "tool_calls": [{"id": "c"}]},'
    b' "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}'
)


@pytest.mark.parametrize("with_usage", [True, False])
def test_a_whole_answer_is_made_into_the_stream_that_was_asked_for(with_usage: bool) -> None:
    async def run() -> None:
        async with chat_server() as server:
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
            server.raw["whole"] = head + WHOLE
            server.behaviours.append("whole")
            one = backend(server.url)
            options = {"stream_options": {"include_usage": True}} if with_usage else {}
            answer = await one.forward(posted(stream=True, **options), stream=True)
            got = b"".join([piece async for piece in answer])
            await one.close()
        *events, done, end = got.split(b"\n\n")
        assert (done, end) == (b"data: [DONE]", b"")
        said = [json.loads(one.removeprefix(b"data: ")) for one in events]
        assert {(one["object"], one["model"]) for one in said} == {("chat.completion.chunk", "m")}
        message = {"role": "assistant", "content": "x", "tool_calls": [{"index": 0, "id": "c"}]}
        assert said[0]["choices"][0]["delta"] == message
        assert said[0]["choices"][0]["finish_reason"] == "stop"
        told = {"prompt_tokens": 7, "completion_tokens": 2}
        assert [one.get("usage") for one in said[1:]] == ([told] if with_usage else [])
        assert answer.finished
        assert answer.usage == Usage(prompt_tokens=7, completion_tokens=2)

    asyncio.run(run())


def test_a_stream_that_nobody_asked_for_is_garbage() -> None:
    async def run() -> None:
        async with chat_server() as server:
            server.behaviours.append(streamed(server, event(b"[DONE]")))
            one = backend(server.url)
            with pytest.raises(BackendError) as raised:
                await one.forward(posted(stream=False), stream=False)
            await one.close()
        assert raised.value.fault is Fault.GARBAGE

    asyncio.run(run())


def test_a_body_that_is_no_object_is_refused_unsent() -> None:
    async def run() -> None:
        async with chat_server() as server:
            one = backend(server.url)
            for body in (b"[]", b"{", b"", b'"x"', b"\xff"):
                with pytest.raises(BackendError) as caught:
                    await one.forward(body, stream=False)
                assert caught.value.fault is Fault.REFUSED
            await one.close()
        assert not server.served

    asyncio.run(run())


def test_nothing_is_sent_after_the_deadline() -> None:
    async def run() -> None:
        async with chat_server() as server:
            one = backend(server.url)
            error = await fault_of(one, call(deadline=time.monotonic() - 1))
            await one.close()
        assert error.fault is Fault.TIMEOUT
        assert not server.served

    asyncio.run(run())


def test_closing_the_generator_hangs_up() -> None:
    async def run() -> None:
        async with chat_server("hang") as server:
            one = backend(server.url)
            chunks = one.complete(call())
            await anext(chunks)
            await chunks.aclose()
            # Its connection is not used again.
            await chunks_of(one)
            assert server.connections == 2
            await one.close()

    asyncio.run(run())


@pytest.mark.parametrize("key", ["", "a\nb", "sk-\u00e9"])
def test_keys_that_no_header_can_carry(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        backend("http://127.0.0.1:1/v1", api_key=key)
    assert "t/0" in str(caught.value)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:pw@host/v1",
        "http://host/v1?key=pw",
        "http://host/v1#pw",
        "ftp://host",
        "http://",
        "http://host:99999/",
        "http://a b/",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        backend(url)
    assert "pw" not in str(caught.value)
