"""Asking a backend on AWS in tests: clients for the stand-in, and answers put together."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

from pilotage.route.answer import Chunk, Usage
from pilotage.route.backends.backend import Backend, BackendError
from pilotage.route.call import Call


def client_for(service: str, url: str, *, silence_s: float = 5.0, verify: str | None = None) -> Any:
    """A real client, of keys that nobody has, for an address of ours."""
    return boto3.session.Session(
        aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="example", region_name="us-east-1"
    ).client(
        service,
        endpoint_url=url,
        verify=verify,
        config=Config(
            retries={"total_max_attempts": 1},
            read_timeout=silence_s,
            proxies={},
            parameter_validation=True,
        ),
    )


def call_of(*messages: dict[str, Any], **fields: Any) -> Call:
    """A request; one message of a user if none is given."""
    given = list(messages) or [{"role": "user", "content": "Hi"}]
    return Call(body={"messages": given, **fields}, request_id="r1")


class Told:
    """What a backend answered: its chunks, and the error that ended them."""

    def __init__(self, chunks: list[Chunk], error: BackendError | None) -> None:
        self.chunks = chunks
        self.error = error
        self.text = "".join(chunk.text for chunk in chunks)
        self.reasoning = "".join(chunk.reasoning for chunk in chunks)
        self.reasons = [chunk.finish_reason for chunk in chunks if chunk.finish_reason]
        usages = [chunk.usage for chunk in chunks if chunk.usage]
        self.usage: Usage | None = usages[-1] if usages else None

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """Put together as OpenAI's clients do."""
        calls: dict[int, dict[str, Any]] = {}
        for delta in (one for chunk in self.chunks for one in chunk.tool_calls):
            call = calls.setdefault(delta["index"], {"arguments": ""})
            call.update({k: v for k, v in delta.items() if k in ("id", "type")})
            function = delta["function"]
            call["name"] = function.get("name") or call["name"]
            call["arguments"] += function.get("arguments") or ""
        return [calls[index] for index in sorted(calls)]


async def ask(backend: Backend, call: Call) -> Told:
    """Take an answer to its end."""
    chunks = []
    try:
        async for chunk in backend.complete(call):
            chunks.append(chunk)
    except BackendError as error:
        return Told(chunks, error)
    return Told(chunks, None)
