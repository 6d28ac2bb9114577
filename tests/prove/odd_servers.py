"""A tiny real HTTP server that behaves in many ways, most of them wrong.

The behaviour is chosen by the first part of the path, so that one server serves them all::

    with odd_servers() as odd:
        odd.url("ok")                  # http://127.0.0.1:PORT/ok, to which /v1/... is appended
        odd.url("html", all=True)      # the list of models misbehaves as well
        odd.url("busy", 3)             # 503 three times, then well

=================  =============================================================================
ok                 answers as an OpenAI-compatible server does (chat, completions, infer)
slow-S             the same after S seconds
no-usage           without token counts
no-eos             400 for ``ignore_eos``, ``min_tokens``
no-stream-options  400 for ``stream_options``
strict             400 for ``max_tokens``: wants ``max_completion_tokens`` (and no ``ignore_eos``)
no-stream          one JSON answer even where a stream was asked for
no-models          404 for the list of models
many-models        lists three models
empty-models       lists none
two-tokens         counts every word as two tokens
limit-N            413 for bodies over N bytes
reset-N            resets the connection for bodies over N bytes
says-too-large-N   400 for bodies over N bytes, with a message that says so
breaks-at-N        500 for bodies over N bytes
dies-at-N          resets the connection for bodies over N bytes and for all that follows
garbage            bytes that are not HTTP
close              closes the connection without a word
html               200 and a web page
not-json           a stream of events that are not JSON; or a 200 that is not JSON
midway             a stream that ends without [DONE]; or a body that ends before its length
error-event        a stream with an error event; or a 200 with an error object
empty              200 and ``{}``
silent             never answers
drip               a byte a second, for ever
drip-stream        headers and a first event at once, then a byte a second, for ever
redirect           307 to the well-behaved server
redirect-301       301 likewise
locked             401 without the key "secret"
status-N           the status N
busy-N             503 with Retry-After: 0 for the first N requests, then well
rejects            429 with Retry-After: 7
rejects-half       429 for every second request
wrong-length       a Content-Length that is larger than the body
endless            a stream that never ends, as fast as it is read
=================  =============================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

MODEL = "odd"
OVERHEAD = 5  # tokens that the "chat template" adds


def count_words(text: str) -> int:
    """The server's tokenizer, unless it is given another."""
    return len(text.split())


@dataclass(frozen=True)
class Seen:
    """A request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass
class OddServers:
    """The running server."""

    port: int = 0
    count_tokens: Callable[[str], int] = count_words
    seen: deque[Seen] = field(default_factory=lambda: deque(maxlen=1000))  # the last ones
    asked: Counter[str] = field(default_factory=Counter)  # requests by behaviour
    dead: set[str] = field(default_factory=set)  # behaviours that have died

    def url(self, behaviour: str, value: object = None, *, all: bool = False) -> str:  # noqa: A002
        """The base address of a behaviour."""
        name = behaviour if value is None else f"{behaviour}-{value}"
        return f"http://127.0.0.1:{self.port}/{name}{'.all' if all else ''}"

    def posted(self) -> list[dict[str, Any]]:
        """The JSON bodies that were posted."""
        return [seen.json() for seen in self.seen if seen.method == "POST"]


@contextlib.contextmanager
def odd_servers(count_tokens: Callable[[str], int] = count_words) -> Iterator[OddServers]:
    """The server on a free port, in a thread of its own, closed at the end."""
    server = OddServers(count_tokens=count_tokens)
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(_serve(server, 0, started.set, stop))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        assert not thread.is_alive()


def dead_port() -> int:
    """A port on which nothing listens: it was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _serve(
    server: OddServers, port: int, ready: Callable[[], object], stop: asyncio.Event
) -> None:
    conversations: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.add(task)
        try:
            await _converse(server, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            pass  # the client has left
        except asyncio.CancelledError:
            pass  # the server stops; asyncio's own callback would complain of a cancelled task
        finally:
            conversations.discard(task)
            writer.transport.abort()

    listening = await asyncio.start_server(connected, "127.0.0.1", port, backlog=1024)
    server.port = listening.sockets[0].getsockname()[1]
    ready()
    await stop.wait()
    # asyncio drops a connection that it accepts in the very step in which it stops listening, and
    # a task that is cancelled before it has begun cleans nothing up.
    await asyncio.sleep(0.01)
    listening.close()
    for task in conversations:
        task.cancel()
    await asyncio.gather(*conversations, return_exceptions=True)
    await asyncio.sleep(0)  # so that aborted transports close before the loop does


async def _converse(
    server: OddServers, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while not writer.is_closing():
        start = await reader.readexactly(1)
        if not start.isalpha():  # as TLS begins
            await _json(writer, 400, _error("This is not HTTP."), close=True)
            return
        head = (start + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        length = int(headers.get("content-length", 0))
        name, _, route = path.lstrip("/").partition("/")
        everywhere, name = name.endswith(".all"), name.removesuffix(".all")
        listing = method == "GET"
        server.asked[name] += not listing or everywhere
        turn = server.asked[name]
        kind, _, value = name.rpartition("-") if re.search(r"-[\d.]+$", name) else (name, "", "")
        if kind in _SIZED and length > int(value):
            if status := _SIZED[kind]:
                message = "It broke." if status == 500 else "The body is too large."
                await _json(writer, status, _error(message), close=True)
                writer.write_eof()
                await _drain_input(reader)
            server.dead |= {name} if kind == "dies-at" else set()
            _abort(writer)
            return
        if name in server.dead:
            _abort(writer)
            return
        body = await reader.readexactly(length)
        server.seen.append(Seen(method, f"/{route}", headers, body))
        if listing and not everywhere and kind not in _LISTS:
            kind = "ok"
        await _BEHAVIOURS.get(kind, _unknown)(
            _Request(server, writer, headers, listing, body, value, turn, route)
        )
        await writer.drain()


async def _drain_input(reader: asyncio.StreamReader) -> None:
    """Read what the client still sends, so that it gets to read the answer."""
    while await reader.read(1 << 20):
        pass


@dataclass(frozen=True)
class _Request:
    server: OddServers
    writer: asyncio.StreamWriter
    headers: dict[str, str]
    listing: bool
    body: bytes
    value: str
    turn: int
    route: str

    @property
    def fields(self) -> dict[str, Any]:
        if self.route.endswith("infer"):
            names = re.findall(rb'name="(\w+)"\r\n\r\n(.*?)\r\n', self.body)
            return {name.decode(): value.decode() for name, value in names}
        return dict(json.loads(self.body)) if self.body else {}

    @property
    def stream(self) -> bool:
        return bool(self.fields.get("stream"))


async def _json(
    writer: asyncio.StreamWriter,
    status: int,
    content: Any,
    *headers: str,
    close: bool = False,
) -> None:
    body = json.dumps(content).encode()
    _head(writer, status, "application/json", f"Content-Length: {len(body)}", *headers, close=close)
    writer.write(body)
    await writer.drain()


def _head(
    writer: asyncio.StreamWriter, status: int, kind: str, *headers: str, close: bool = False
) -> None:
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", "Server: odd/1", *headers]
    lines += ["Connection: close"] if close else []
    writer.write("\r\n".join([*lines, "", ""]).encode())


def _abort(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # RST, not FIN
    writer.transport.abort()


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "odd", "param": None, "code": None}}


def _chunk(writer: asyncio.StreamWriter, data: str) -> None:
    event = data.encode()
    writer.write(b"%x\r\n%s\r\n" % (len(event), event))


def _event(content: Any) -> str:
    return f"data: {json.dumps(content)}\n\n"


def _piece(text: str, reason: str | None = None, *, chat: bool = True) -> str:
    part = {"delta": {"content": text}} if chat else {"text": text}
    return _event({"choices": [{"index": 0, **part, "finish_reason": reason}]})


async def _ok(
    request: _Request, *, usage: bool = True, stream: bool | None = None, weight: int = 1
) -> None:
    writer, fields = request.writer, request.fields
    if request.listing:
        models = [{"id": MODEL, "object": "model", "owned_by": "tests", "max_model_len": 4096}]
        await _json(writer, 200, {"object": "list", "data": models})
        return
    chat, infer = "messages" in fields, "text_prompt" in fields
    text = fields["messages"][-1]["content"] if chat else fields.get("prompt", "")
    asked = int(
        fields.get("max_tokens")
        or fields.get("max_completion_tokens")
        or fields.get("max_new_tokens")
        or 16
    )
    if not infer and fields.get("model") != MODEL:
        await _json(writer, 404, _error(f"There is no model {fields.get('model')!r}."))
        return
    prompt = weight * request.server.count_tokens(str(text)) + OVERHEAD
    counted = {"prompt_tokens": prompt, "completion_tokens": asked, "total_tokens": prompt + asked}
    if not (request.stream if stream is None else stream):
        part = {"message": {"content": "a " * asked}} if chat else {"text": "a " * asked}
        answer = (
            {"text": "a " * asked} if infer else {"choices": [{**part, "finish_reason": "length"}]}
        )
        await _json(writer, 200, {**answer, **({"usage": counted} if usage else {})})
        return
    _head(writer, 200, "text/event-stream; charset=utf-8", "Transfer-Encoding: chunked")
    for token in range(asked):
        _chunk(writer, _piece("a ", "length" if token == asked - 1 else None, chat=chat))
        await writer.drain()
    if usage and (fields.get("stream_options") or {}).get("include_usage"):
        _chunk(writer, _event({"choices": [], "usage": counted}))
    _chunk(writer, "data: [DONE]\n\n")
    writer.write(b"0\r\n\r\n")


async def _slow(request: _Request) -> None:
    await asyncio.sleep(float(request.value))
    await _ok(request)


async def _refusing(request: _Request, *names: str, message: str = "") -> bool:
    bad = [name for name in names if name in request.fields]
    if bad:
        await _json(request.writer, 400, _error(message or f"Unknown parameter {bad[0]!r}."))
    return bool(bad)


async def _no_eos(request: _Request) -> None:
    if not await _refusing(request, "ignore_eos", "min_tokens"):
        await _ok(request)


async def _no_stream_options(request: _Request) -> None:
    if not await _refusing(request, "stream_options"):
        await _ok(request)


async def _strict(request: _Request) -> None:
    if await _refusing(request, "ignore_eos", "min_tokens"):
        return
    message = "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    if not await _refusing(request, "max_tokens", message=message):
        await _ok(request)


async def _no_models(request: _Request) -> None:
    if request.listing:
        await _json(request.writer, 404, {"detail": "Not Found"})
    else:
        await _ok(request)


async def _many_models(request: _Request) -> None:
    if request.listing:
        models = [{"id": name} for name in (MODEL, "llama-3", "mistral")]
        await _json(request.writer, 200, {"data": models})
    else:
        await _ok(request)


async def _empty_models(request: _Request) -> None:
    await _json(request.writer, 200, {"data": []})


async def _garbage(request: _Request) -> None:
    request.writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\x00\xff\x1b[31mnonsense\r\n")
    await request.writer.drain()
    request.writer.close()


async def _close(request: _Request) -> None:
    request.writer.close()


async def _html(request: _Request) -> None:
    page = b"<!doctype html><title>Welcome</title><h1>It works!</h1>"
    _head(request.writer, 200, "text/html; charset=utf-8", f"Content-Length: {len(page)}")
    request.writer.write(page)


async def _not_json(request: _Request) -> None:
    if not request.stream:
        _head(request.writer, 200, "application/json", "Content-Length: 9")
        request.writer.write(b"{nonsense")
        return
    _head(request.writer, 200, "text/event-stream", close=True)
    request.writer.write(b"data: {nonsense\n\ndata: \xff\xfe\x1b[31m\n\n")
    await request.writer.drain()
    request.writer.close()


async def _midway(request: _Request) -> None:
    if not request.stream:
        _head(request.writer, 200, "application/json", "Content-Length: 1000")
        request.writer.write(b'{"choices": [')
    else:
        _head(request.writer, 200, "text/event-stream", close=True)
        request.writer.write(_piece("a ").encode())
    await request.writer.drain()
    request.writer.close()


async def _error_event(request: _Request) -> None:
    error = _error("The engine \x1b[31mfell over.")
    if not request.stream:
        await _json(request.writer, 200, error)
        return
    _head(request.writer, 200, "text/event-stream", "Transfer-Encoding: chunked")
    _chunk(request.writer, _piece("a "))
    _chunk(request.writer, _event(error))
    request.writer.write(b"0\r\n\r\n")


async def _empty(request: _Request) -> None:
    await _json(request.writer, 200, {})


async def _silent(request: _Request) -> None:
    del request
    await asyncio.Event().wait()


async def _drip(request: _Request) -> None:
    _head(request.writer, 200, "application/json", "X-Slow: " + "x" * 10_000)
    await _drip_bytes(request)


async def _drip_stream(request: _Request) -> None:
    _head(request.writer, 200, "text/event-stream", close=True)
    request.writer.write(_piece("a ").encode())
    await _drip_bytes(request)


async def _drip_bytes(request: _Request) -> None:
    while True:
        request.writer.write(b" ")
        await request.writer.drain()
        await asyncio.sleep(1)


async def _redirect(request: _Request) -> None:
    status = int(request.value or 307)
    to = f"http://127.0.0.1:{request.server.port}/ok/{request.route}?token=hidden"
    await _json(request.writer, status, {}, f"Location: {to}")


async def _locked(request: _Request) -> None:
    if request.headers.get("authorization") == "Bearer secret":
        await _ok(request)
    else:
        await _json(request.writer, 401, _error("No key, or one that is not valid here."))


async def _status(request: _Request) -> None:
    await _json(request.writer, int(request.value), _error("So it is."))


async def _busy(request: _Request) -> None:
    if request.turn <= int(request.value):
        await _json(request.writer, 503, _error("The model is loading."), "Retry-After: 0")
    else:
        await _ok(request)


async def _rejects(request: _Request) -> None:
    await _json(request.writer, 429, _error("No room."), "Retry-After: 7")


async def _rejects_half(request: _Request) -> None:
    await (_rejects if request.turn % 2 else _ok)(request)


async def _wrong_length(request: _Request) -> None:
    body = _piece("a ", "stop") + "data: [DONE]\n\n" if request.stream else '{"choices": []}'
    kind = "text/event-stream" if request.stream else "application/json"
    _head(request.writer, 200, kind, f"Content-Length: {len(body) + 10}")
    request.writer.write(body.encode())
    await request.writer.drain()
    request.writer.close()


async def _endless(request: _Request) -> None:
    _head(request.writer, 200, "text/event-stream", close=True)
    pieces = _piece("a ").encode() * 1000
    while True:
        request.writer.write(pieces)
        await request.writer.drain()


async def _unknown(request: _Request) -> None:
    await _json(request.writer, 404, {"detail": "Not Found"})


async def _no_usage(request: _Request) -> None:
    await _ok(request, usage=False)


async def _no_stream(request: _Request) -> None:
    await _ok(request, stream=False)


async def _two_tokens(request: _Request) -> None:
    await _ok(request, weight=2)


_SIZED = {"limit": 413, "says-too-large": 400, "breaks-at": 500, "reset": 0, "dies-at": 0}
_LISTS = {"no-models", "many-models", "empty-models"}
_BEHAVIOURS = {
    "ok": _ok, **dict.fromkeys(_SIZED, _ok), "slow": _slow, "no-usage": _no_usage,
    "no-eos": _no_eos, "no-stream-options": _no_stream_options, "strict": _strict,
    "no-stream": _no_stream, "no-models": _no_models, "many-models": _many_models,
    "empty-models": _empty_models, "two-tokens": _two_tokens, "garbage": _garbage,
    "close": _close, "html": _html, "not-json": _not_json, "midway": _midway,
    "error-event": _error_event, "empty": _empty, "silent": _silent, "drip": _drip,
    "drip-stream": _drip_stream, "redirect": _redirect, "locked": _locked, "status": _status,
    "busy": _busy, "rejects": _rejects, "rejects-half": _rejects_half,
    "wrong-length": _wrong_length, "endless": _endless,
}  # fmt: skip


async def _main(port: int, delay_s: float) -> None:
    print("starting up", flush=True)  # noqa: T201
    await asyncio.sleep(delay_s)  # a cold start
    await _serve(OddServers(), port, lambda: None, asyncio.Event())


if __name__ == "__main__":  # as a process: PORT [SECONDS TO START]
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))
