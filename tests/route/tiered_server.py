"""A small OpenAI-compatible server over a real socket, whose models do as they are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pilotage.route.attempt import Attempt, Role
from pilotage.route.backends.openai import OpenAIBackend
from pilotage.route.backends.tier import Tier
from pilotage.route.call import Call
from pilotage.route.pricing import TierPrice
from pilotage.spec.routing import RoutingSpec

PROMPT_TOKENS = 10
PRICES = {"small": 1, "medium": 4, "large": 20}


@dataclass(frozen=True, kw_only=True)
class Says:
    """What a model does with a request.

    Attributes:
        text: Its answer, a token a word.
        logprob: Of each token.
        finish_reason: What it ends with.
        status: Anything but 200 is an error instead.
        cut: Break the connection after so many tokens.
        pause: After so many tokens wait until the client goes away, and say that it has.
        tool_calls: In the first event.
    """

    text: str = ""
    logprob: float = -0.1
    finish_reason: str = "stop"
    status: int = 200
    cut: int | None = None
    pause: int | None = None
    tool_calls: Sequence[Mapping[str, Any]] = ()

    @property
    def tokens(self) -> list[str]:
        words = self.text.split(" ")
        return [word if index == 0 else f" {word}" for index, word in enumerate(words)]


Model = Says | Callable[[dict[str, Any]], Says]


@dataclass
class ChatServer:
    """The server: what its models say, and what was asked of it."""

    models: dict[str, Model]
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    paused: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def asked_of(self, model: str) -> list[dict[str, Any]]:
        return [body for body in self.asked if body["model"] == model]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            ]
            body = json.loads(await reader.readexactly(lengths[0]))
            self.asked.append(body)
            model = self.models[body["model"]]
            await self._answer(body, model if isinstance(model, Says) else model(body), writer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, body: dict[str, Any], says: Says, writer: asyncio.StreamWriter) -> None:
        if says.status != 200:
            error = json.dumps({"error": {"message": "no", "type": "no"}}).encode()
            writer.write(
                b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (says.status, len(error), error)
            )
            return
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        )
        if says.tool_calls:
            self._event(writer, body, {"tool_calls": list(says.tool_calls)}, None)
        for index, token in enumerate(says.tokens if says.text else []):
            if index == says.cut:
                return
            if index == says.pause:
                await self._until_gone(writer)
                return
            logprobs = {"content": [{"token": token, "logprob": says.logprob}]}
            self._event(
                writer, body, {"content": token}, logprobs if body.get("logprobs") else None
            )
            await writer.drain()
        usage = {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": len(says.tokens) if says.text else 0,
        }
        end = {
            "model": body["model"],
            "choices": [{"index": 0, "delta": {}, "finish_reason": says.finish_reason}],
            "usage": usage,
        }
        writer.write(b"data: " + json.dumps(end).encode() + b"\n\ndata: [DONE]\n\n")

    async def _until_gone(self, writer: asyncio.StreamWriter) -> None:
        await writer.drain()
        self.paused.set()
        try:
            while True:
                await asyncio.sleep(0.01)
                writer.write(b": still here\n\n")
                await writer.drain()
        except ConnectionError:
            self.left.set()

    @staticmethod
    def _event(
        writer: asyncio.StreamWriter, body: dict[str, Any], delta: Any, logprobs: Any
    ) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": None, "logprobs": logprobs}
        event = {"model": body["model"], "choices": [choice]}
        writer.write(b"data: " + json.dumps(event).encode() + b"\n\n")


@asynccontextmanager
async def chat_server(**models: Model) -> AsyncIterator[ChatServer]:
    """The server, on a free port of this machine."""
    state = ChatServer(models)
    server = await asyncio.start_server(state.serve, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield state
    finally:
        server.close()


class Rows:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[Attempt] = []
        self._grown = asyncio.Event()

    def record(self, attempt: Attempt) -> None:
        self.rows.append(attempt)
        self._grown.set()

    async def until(self, count: int) -> None:
        """Wait until so many have come."""
        while len(self.rows) < count:
            self._grown.clear()
            await self._grown.wait()

    def of(self, role: Role) -> list[Attempt]:
        return [row for row in self.rows if row.role is role]

    @property
    def cost(self) -> Decimal:
        return sum((row.cost for row in self.rows), Decimal(0))


def routing_spec(url: str, names: Sequence[str], **fields: Any) -> RoutingSpec:
    """A routing section whose tiers are models of the server, without retries."""
    tiers = [
        {
            "name": name,
            "retries": 0,
            "price": {"input": PRICES[name], "output": 4 * PRICES[name]},
            "backends": [{"kind": "openai", "url": url, "model": name}],
        }
        for name in names
    ]
    return RoutingSpec.model_validate({"tiers": tiers, **fields})


@asynccontextmanager
async def tiers_of(routing: RoutingSpec, sink: Rows) -> AsyncIterator[dict[str, Tier]]:
    """The real tiers of a section."""
    tiers: dict[str, Tier] = {}
    for spec in routing.tiers:
        backend = spec.backends[0]
        assert backend.url is not None
        assert backend.model is not None
        assert spec.price is not None
        assert spec.price.input is not None
        assert spec.price.output is not None
        tiers[spec.name] = Tier(
            spec,
            [
                OpenAIBackend(
                    f"{spec.name}/0",
                    url=backend.url,
                    model=backend.model,
                    api_key=None,
                    timeout_s=backend.timeout,
                    first_token_timeout_s=backend.first_token_timeout,
                    max_concurrency=8,
                )
            ],
            TierPrice(
                input=spec.price.input,
                output=spec.price.output,
                cache_read=spec.price.input,
                cache_write=spec.price.input,
            ),
            sink,
        )
    try:
        yield tiers
    finally:
        for tier in tiers.values():
            await tier.close()


def chat(
    prompt: str = "How many legs has a spider?", *, request_id: str = "r1", **fields: Any
) -> Call:
    """A request."""
    body = {"messages": [{"role": "user", "content": prompt}], **fields}
    return Call(body=body, request_id=request_id)
