import asyncio
import itertools

import msgspec
from bench.wire import Connection, Exchange
from hypothesis import given
from hypothesis import strategies as st

WORDS = ["Bread", " rises", " \N{EN DASH} slowly", ".", "\n\n", " data: 42 "]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(body: object, newline: bytes = b"\n") -> bytes:
    return b"data: " + msgspec.json.encode(body) + newline * 2


def stream(words: list[str], newline: bytes = b"\n", usage: int | None = None) -> list[bytes]:
    events = [event({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}, newline)]
    events += [event({"choices": [{"index": 0, "delta": {"content": w}}]}, newline) for w in words]
    events.append(event({"choices": [{"delta": {}, "finish_reason": "length"}]}, newline))
    if usage is not None:
        events.append(event({"choices": [], "usage": {"completion_tokens": usage}}, newline))
    return [*events, b"data: [DONE]" + newline * 2]


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


class Wire:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.closed = False

    def write(self, data: bytes) -> None: ...

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


def feed(pieces: list[bytes], *, close: bool = False) -> tuple[Exchange, Connection]:
    loop = asyncio.new_event_loop()
    try:
        exchange, connection = Exchange(loop.create_future()), Connection()
        connection.connection_made(Wire())
        connection.send(b"", exchange)
        for piece in pieces:
            connection.data_received(piece)
        if close:
            connection.connection_lost(None)
        if exchange.done.done():
            exchange.done.exception()
        return exchange, connection
    finally:
        loop.close()


@given(
    words=st.lists(st.sampled_from(WORDS), max_size=8),
    newline=st.sampled_from([b"\n", b"\r\n"]),
    merged=st.booleans(),
    cuts=st.lists(st.integers(1, 2000), max_size=12),
)
def test_a_stream_reads_the_same_wherever_the_network_cuts_it(words, newline, merged, cuts):
    events = stream(words, newline, usage=len(words) + 7)
    data = HEAD + chunked([b"".join(events)] if merged else events)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]

    exchange, connection = feed(pieces)

    assert "".join(exchange.texts) == "".join(words)
    assert len(exchange.chunk_times) == len(words)
    assert exchange.usage_tokens == len(words) + 7
    assert exchange.finish_reason == "length"
    assert exchange.saw_done_mark
    assert exchange.done.done() and exchange.done.exception() is None
    assert connection.reusable


def test_one_connection_carries_many_exchanges():
    body = msgspec.json.encode({"text": "yes", "usage": {"completion_tokens": 3}})
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    loop = asyncio.new_event_loop()
    connection = Connection()
    connection.connection_made(Wire())
    for _ in range(3):
        exchange = Exchange(loop.create_future())
        connection.send(b"", exchange)
        connection.data_received(answer)
        assert (exchange.texts, exchange.usage_tokens) == (["yes"], 3)
    loop.close()


def test_a_body_that_ends_with_the_connection_is_whole():
    exchange, connection = feed(
        [b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"text":', b'"all"}'], close=True
    )
    assert exchange.texts == ["all"]
    assert exchange.done.exception() is None
    assert not connection.reusable


def test_a_connection_that_ends_inside_a_stream_breaks_it():
    events = stream(["a", "b"])
    exchange, _ = feed([HEAD + chunked(events)[:-20]], close=True)
    assert exchange.texts == ["a", "b"]
    assert isinstance(exchange.done.exception(), ConnectionError)


def test_an_interim_answer_is_passed_over():
    exchange, _ = feed(
        [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"]
    )
    assert exchange.status == 204
    assert exchange.done.exception() is None


def test_what_is_not_http_fails_at_once():
    exchange, connection = feed([b"SSH-2.0\r\n\r\n"])
    assert "not HTTP" in str(exchange.done.exception())
    assert not connection.reusable


def test_an_error_event_is_kept():
    exchange, _ = feed([HEAD + chunked([event({"error": {"message": "worker lost"}})])])
    assert exchange.error is not None and "worker lost" in exchange.error
