"""Chat requests for ``routing.model`` or a tier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pilotage.engines.engine import SamplingParams
from pilotage.route.backends.usage import estimated_prompt
from pilotage.route.call import Call
from pilotage.serve.api.chat_request import ChatRequest
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.forwarding import put_images_back
from pilotage.serve.api.validation import parse
from pilotage.serve.routing.passed_on import check_body
from pilotage.serve.routing.raw_response import RawResponse
from pilotage.serve.routing.routed_response import RoutedResponse

if TYPE_CHECKING:
    from pilotage.serve.routing.routing import Routing

_NOT_PASSED_ON = frozenset({"model", "stream", "stream_options", "n"})


async def answer_routed(
    context: GatewayContext, routing: Routing, request: Request, body: dict[str, Any]
) -> Response:
    """The response to a chat request that is routed.

    Args:
        context: The gateway's.
        routing: Answers it.
        request: As it came.
        body: Its decoded body.

    Raises:
        ApiError: It is not answered.
    """
    exchange = Exchange.of(request.scope)
    exchange.operation = "chat"
    name: str = body["model"]
    exchange.model = name
    tier = routing.raw.get(name)
    wanted = check_body(body, max_history=routing.max_history, raw=tier is not None)
    if routing.local_only:
        parse(ChatRequest, body)
    put_images_back(request, body)
    limit_s = min(routing.timeout_s, context.limits.request_timeout_s)
    call = Call(
        body={
            field: value
            for field, value in body.items()
            if field not in _NOT_PASSED_ON and value is not None
        },
        request_id=exchange.request_id,
        key_id=None if exchange.key is None else exchange.key.id,
        deadline=exchange.arrived + limit_s,
    )
    exchange.span = context.tracer.start(
        "chat",
        name,
        headers=request.headers,
        params=SamplingParams(max_tokens=wanted.max_tokens or 0),
        request_id=exchange.request_id,
        stream=wanted.stream,
    )
    reservation = routing.admission.admit(
        context,
        exchange,
        name,
        prompt_tokens=estimated_prompt(call),
        max_tokens=wanted.max_tokens,
    )
    if tier is not None:
        return RawResponse(
            context,
            routing,
            exchange,
            tier,
            msgspec.json.encode(body),
            decision=routing.decision(name),
            stream=wanted.stream,
            with_usage=wanted.with_usage,
            reservation=reservation,
        )
    return RoutedResponse(
        context,
        routing,
        exchange,
        call,
        model=name,
        stream=wanted.stream,
        with_usage=wanted.with_usage,
        reservation=reservation,
    )
