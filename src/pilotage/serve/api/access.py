"""The outermost layer: request ids, the access log, metrics, and the last word on failures."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.errors import ApiError, ClientGone, internal_error
from pilotage.serve.api.exchange import Exchange, header, request_id_of
from pilotage.serve.generation import GenerationFailed
from pilotage.serve.telemetry.logs import log_access

_LOG = logging.getLogger(__name__)
_REFUSALS = (402, 429, 503)


class AccessLayer:
    """Gives every request an `Exchange`, and accounts for it when it is over.

    Args:
        app: What answers.
        context: The gateway's.
        endpoint_of: A path's route template; the same for all paths that have none.
    """

    def __init__(
        self, app: ASGIApp, context: GatewayContext, endpoint_of: Callable[[str], str]
    ) -> None:
        self._app = app
        self._context = context
        self._endpoint_of = endpoint_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(
            request_id_of(header(scope, b"x-request-id")),
            self._endpoint_of(scope["path"]),
        )
        exchange.attach(scope)

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_added(exchange)]
            await send(message)

        self._context.metrics.request_started()
        try:
            await self._app(scope, receive, send_on)
        except ClientGone:
            exchange.reason = "client_closed_request"
        except Exception as failure:
            error = _said(failure, exchange)
            exchange.reason = error.code
            # A response that has begun is cut off there, which tells the client the truth.
            if exchange.status is not None:
                raise
            await error.response()(scope, receive, send_on)
        finally:
            self._account(exchange)

    def _account(self, exchange: Exchange) -> None:
        record = exchange.record()
        if record.status in _REFUSALS and record.operation is not None:
            self._context.metrics.rejected(record.model, record.reason or "")
        self._context.metrics.request_finished(record)
        key = exchange.key
        if key is not None and self._context.rate_limits is not None:
            self._context.rate_limits.charge(key.id, exchange.completion_tokens, time.monotonic())
        log_access(
            record,
            request_id=exchange.request_id,
            key=None if key is None else key.id,
            finish_reason=exchange.finish_reason,
            trace_id=None if exchange.span is None else exchange.span.trace_id,
        )
        if exchange.span is not None:
            reasons = () if exchange.finish_reason is None else (exchange.finish_reason,)
            exchange.span.finish(record, finish_reasons=reasons, queue_s=record.queue_s)


def _said(failure: Exception, exchange: Exchange) -> ApiError:
    if isinstance(failure, ApiError):
        return failure
    if isinstance(failure, GenerationFailed):
        # The uploads have no room; what is left of this body is not read.
        error = ApiError.of(failure)
        error.headers["connection"] = "close"
        return error
    _LOG.error("request %s failed", exchange.request_id, exc_info=failure)
    return internal_error(exchange.request_id)


def _added(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    added = [(b"x-request-id", exchange.request_id.encode("latin-1"))]
    added += [(name.encode(), value.encode()) for name, value in exchange.headers.items()]
    return added
