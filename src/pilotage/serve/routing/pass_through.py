"""The short way of a routed request: what one backend answers and nobody judges goes through.

The general way (FastAPI, a decoded body, chunks, an answer written anew) costs about a millisecond
of CPU. Here the body is looked at as far as this server is concerned with it, and its bytes go on.
Whatever is out of the ordinary, errors first of all, is left to the general way, which gets the
request as it came.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilotage.engines.engine import SamplingParams
from pilotage.route.backends.usage import estimated_tokens
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.errors import ApiError, ClientGone
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.forwarding import REACHING_INSIDE
from pilotage.serve.routing.raw_response import RawResponse
from pilotage.serve.telemetry.tracing import NoTracer

if TYPE_CHECKING:
    from pilotage.serve.routing.routing import Routing

_PATH: Final = "/v1/chat/completions"
_LARGEST: Final = 1 << 20
"""Bytes of a body that is looked at here; decoding more would hold up everybody else."""

_BODY_TIMEOUT_S: Final = 60.0
_NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
_Length = Annotated[int, msgspec.Meta(ge=1)] | None


class _Message(msgspec.Struct):
    role: _Role
    content: str | list[Any] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    """The fields that concern this server."""

    model: str
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Length = None
    max_completion_tokens: _Length = None
    n_predict: _Length = None
    n: Literal[1] | None = None


# A field that reaches past the API is refused by the general way, which says so by name.
_Checked = msgspec.defstruct(
    "_Checked",
    [(name, None, None) for name in sorted(REACHING_INSIDE)],
    bases=(_Body,),
)
_decode: Final = msgspec.json.Decoder(_Checked).decode


class PassThroughLayer:
    """Answers what may be passed through, and passes all else on.

    Args:
        app: What answers the rest.
        context: The gateway's.
        routing: Has the tiers.
    """

    def __init__(self, app: ASGIApp, context: GatewayContext, routing: Routing) -> None:
        self._app = app
        self._context = context
        self._routing = routing
        self._traced = not isinstance(context.tracer, NoTracer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer (ASGI)."""
        if scope["type"] != "http" or scope["path"] != _PATH or not _is_plain_post(scope):
            await self._app(scope, receive, send)
            return
        exchange = Exchange.of(scope)
        if exchange.path_model is not None:
            await self._app(scope, receive, send)
            return
        body, more = await _read(receive)
        response = None if more else self._response(exchange, scope, body)
        if response is None:
            await self._app(scope, _again(body, receive, more=more), send)
        else:
            await response(scope, receive, send)

    def _response(self, exchange: Exchange, scope: Scope, body: bytes) -> RawResponse | None:
        """The answer to a body; None if it has to go the general way.

        Raises:
            ApiError: The key's limits are reached.
        """
        try:
            wanted = cast("_Body", _decode(body))
        except _NOT_JSON:
            return None
        routing = self._routing
        tier = routing.raw.get(wanted.model)
        if tier is None or not _is_ordinary(wanted, routing.max_history):
            return None
        stream = wanted.stream is True
        options = wanted.stream_options
        longest = wanted.max_completion_tokens or wanted.max_tokens
        exchange.operation = "chat"
        exchange.model = tier.name
        context = self._context
        if self._traced:
            exchange.span = context.tracer.start(
                "chat",
                tier.name,
                headers=_headers(scope),
                params=SamplingParams(max_tokens=longest or 0),
                request_id=exchange.request_id,
                stream=stream,
            )
        reservation = routing.admission.admit(
            context,
            exchange,
            wanted.model,
            prompt_tokens=estimated_tokens(len(body)),
            max_tokens=longest,
        )
        return RawResponse(
            context,
            routing,
            exchange,
            tier,
            body,
            decision=routing.decision(wanted.model),
            stream=stream,
            with_usage=options is not None and options.include_usage is True,
            reservation=reservation,
        )


def _is_plain_post(scope: Scope) -> bool:
    """Whether it is a POST of JSON, uncompressed."""
    if scope["method"] != "POST":
        return False
    for name, value in scope["headers"]:
        if name == b"content-type" and value not in _JSON:
            return False
        if name == b"content-encoding":
            return False
    return True


_JSON: Final = frozenset({b"application/json", b"application/json; charset=utf-8"})


def _is_ordinary(wanted: _Body, max_history: int) -> bool:
    """Whether nothing in a body is to be refused, as far as can be told without looking into it."""
    if len(wanted.messages) > max_history or (wanted.stream_options and not wanted.stream):
        return False
    if any(getattr(wanted, name) is not None for name in REACHING_INSIDE):
        return False
    return not any(
        type(one.content) is list and _has_address(one.content) for one in wanted.messages
    )


def _has_address(parts: list[Any]) -> bool:
    """Whether a part may name an address."""
    return any(
        isinstance(part, dict) and any(name == "url" or name.endswith("_url") for name in part)
        for part in parts
    )


async def _read(receive: Receive) -> tuple[bytes, bool]:
    """The body, and whether there is more of it than is looked at here.

    Raises:
        ApiError: It does not arrive (408), or it is too long (413).
        ClientGone: The client hung up.
    """
    body = b""
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    return body, False
                if len(body) > _LARGEST:
                    return body, True
    except TimeoutError:
        raise ApiError(
            f"The request's body did not arrive within {_BODY_TIMEOUT_S:g} s.",
            status=408,
            code="request_timeout",
            headers={"connection": "close"},
        ) from None


def _again(body: bytes, receive: Receive, *, more: bool) -> Receive:
    """A ``receive`` that begins with what was read."""
    told = False

    async def receive_again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": more}

    return receive_again


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
