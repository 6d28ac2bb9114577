"""A real HTTP server that answers chat requests well or badly, and remembers what it served.

Each request takes the next behaviour from a list; after the last all is well. The words of an
answer and the model's name are of that one answer, so that a test can tell whose words arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pilotage.route.attempt import Attempt
from pilotage.route.backends.openai import OpenAIBackend
from pilotage.route.backends.tier import Tier
from pilotage.route.call import Call
from pilotage.route.pricing import TierPrice
from pilotage.spec.tiers import TierSpec

PRICE = TierPrice(
    input=Decimal("1"), output=Decimal("4"), cache_read=Decimal("0.1"), cache_write=Decimal("2")
)
HONEST = {
    "prompt_tokens": 20,
    "completion_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 8},
}
LIES: dict[str, Any] = {
    "lie-negative": {"prompt_tokens": 20, "completion_tokens": -5},
    "lie-text": {"prompt_tokens": "many", "completion_tokens": 5},
    "lie-zero": {"prompt_tokens": 0, "completion_tokens": 0},
    "lie-missing": None,
    "lie-list": [20, 5],
}
WORDS = 5


@dataclass
class Served:
    """One request, and what was answered.

    Attributes:
        sent: Of the answer's text.
        complete: All of it was sent, its end included.
    """

    serial: int
    behaviour: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    connection: int
    sent: str = ""
    complete: bool = False

    @property
    def model(self) -> str:
        return f"m-{self.serial}"

    @property
    def words(self) -> list[str]:
        return [f"w{self.serial}.{index} " for index in range(WORDS)]

    @property
    def text(self) -> str:
        return "".join(self.words)


@dataclass
class ChatServer:
    port: int
    behaviours: list[str] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    connections: int = 0
    serials_from: int = 0
    raw: dict[str, bytes] = field(default_factory=dict)
    """Behaviours that are these bytes, then the end of the connection."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


def event(data: Any) -> bytes:
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return b"data: " + text + b"\n\n"


def delta(served: Served, text: str, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None, **more}
    return {"model": served.model, "choices": [choice]}


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _head(status: int, kind: str, more: str = "") -> bytes:
    return f"HTTP/1.1 {status} Whatever\r\nContent-Type: {kind}\r\n{more}\r\n".encode()


def _sized(status: int, body: bytes, more: str = "", kind: str = "application/json") -> bytes:
    return _head(status, kind, f"Content-Length: {len(body)}\r\n{more}") + body


async def _answer(server: ChatServer, served: Served, writer: asyncio.StreamWriter) -> bool:
    """Answer; whether the connection may go on."""
    how = served.behaviour
    raw = {"dead": b"", "not-http": b"SMTP ready\r\n\r\n", **server.raw}
    if how in raw:
        writer.write(raw[how])
        return False
    if how == "silent":
        await asyncio.sleep(3600)
    if how.isdigit():
        error = {"error": {"message": f"no: {served.body['messages']}", "code": "some_code"}}
        more = "Retry-After-Ms: 4\r\n" if how == "429" else ""
        writer.write(_sized(int(how), json.dumps(error).encode(), more))
        return True
    if how == "web-page":
        writer.write(_sized(200, b"<html>hello</html>", kind="text/html"))
        return True
    usage = LIES.get(how, HONEST)
    if not served.body.get("stream"):
        return await _whole(served, writer, usage)
    return await _stream(served, writer, usage)


async def _whole(served: Served, writer: asyncio.StreamWriter, usage: Any) -> bool:
    how = served.behaviour
    message = {"role": "assistant", "content": served.text}
    answer: dict[str, Any] = {
        "model": served.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }
    if how == "error-event":
        answer = {"error": {"message": "out of memory"}}
    data = json.dumps(answer).encode()
    if how in ("cut", "hang", "cut-clean", "garbage-event"):
        data = data[: len(data) // 2]
        if how in ("cut", "hang"):
            writer.write(_head(200, "application/json", "Content-Length: 4000\r\n") + data)
            if how == "hang":
                await writer.drain()
                await asyncio.sleep(3600)
            return False
    else:
        served.sent, served.complete = served.text, True
    writer.write(_sized(200, data))
    return True


async def _stream(served: Served, writer: asyncio.StreamWriter, usage: Any) -> bool:
    how = served.behaviour
    writer.write(_head(200, "text/event-stream", "Transfer-Encoding: chunked\r\n"))
    for index, word in enumerate(served.words):
        if index == 2:
            await writer.drain()
            await asyncio.sleep(0)
            if how == "hang":
                await asyncio.sleep(3600)
            if how == "cut":
                return False
            if how == "cut-clean":
                writer.write(b"0\r\n\r\n")
                return True
            if how == "error-event":
                writer.write(_framed(event({"error": {"message": "out of memory"}})))
                writer.write(b"0\r\n\r\n")
                return True
            if how == "garbage-event":
                writer.write(_framed(event(b"{'no': json}")) + b"0\r\n\r\n")
                return True
        writer.write(_framed(event(delta(served, word))))
        served.sent += word
    end = {"model": served.model, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    writer.write(_framed(event(end)))
    if usage is not None:
        writer.write(_framed(event({"model": served.model, "choices": [], "usage": usage})))
    if how != "no-done":
        writer.write(_framed(event(b"[DONE]")))
    writer.write(b"0\r\n\r\n")
    served.complete = True
    return True


@contextlib.asynccontextmanager
async def chat_server(*behaviours: str) -> AsyncIterator[ChatServer]:
    """A server that treats its requests so, one after another."""
    server = ChatServer(0, list(behaviours))
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        number = server.connections
        go_on = True
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while go_on:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in head[1:] if line)
                }
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                behaviour = server.behaviours.pop(0) if server.behaviours else "ok"
                path = head[0].split(" ")[1]
                serial = server.serials_from + len(server.served)
                served = Served(serial, behaviour, path, body, headers, number)
                server.served.append(served)
                go_on = await _answer(server, served, writer)
                await writer.drain()
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


class Rows(list[Attempt]):
    """A sink."""

    def record(self, attempt: Attempt) -> None:
        self.append(attempt)


def backend(url: str, name: str = "t/0", **more: Any) -> OpenAIBackend:
    settings: dict[str, Any] = {
        "model": "asked",
        "api_key": "sk-secret",
        "timeout_s": 20.0,
        "first_token_timeout_s": 20.0,
        "max_concurrency": 64,
        **more,
    }
    return OpenAIBackend(name, url=url, **settings)


def tier_of(
    rows: Rows,
    *urls: str,
    weights: tuple[float, ...] = (),
    timeout_s: float = 20.0,
    first_token_timeout_s: float = 20.0,
    max_concurrency: int = 64,
    clock: Callable[[], float] | None = None,
    **spec: Any,
) -> Tier:
    """A tier of such backends, which waits as short as it may between attempts."""
    parsed = TierSpec.model_validate(
        {
            "name": "t",
            "backends": [
                {
                    "kind": "openai",
                    "url": url,
                    "model": "asked",
                    "weight": weights[index] if weights else 1.0,
                    "timeout": timeout_s,
                    "first_token_timeout": first_token_timeout_s,
                    "max_concurrency": max_concurrency,
                }
                for index, url in enumerate(urls)
            ],
            **spec,
        }
    )
    backends = [
        backend(url, f"t/{index}", timeout_s=timeout_s, first_token_timeout_s=first_token_timeout_s)
        for index, url in enumerate(urls)
    ]
    clocks = {} if clock is None else {"clock": clock}
    return Tier(parsed, backends, PRICE, rows, uniform=lambda low, high: low, **clocks)


def call(text: str = "hello", **more: Any) -> Call:
    limits = {name: more.pop(name) for name in ("deadline", "key_id") if name in more}
    body = {"messages": [{"role": "user", "content": text}], **more}
    return Call(body=body, request_id=f"r-{text}", **limits)


def posted(text: str = "hello", *, stream: bool, **more: Any) -> bytes:
    """What a client of the gateway sends."""
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], "stream": stream}
    return json.dumps({**body, **more}).encode()
