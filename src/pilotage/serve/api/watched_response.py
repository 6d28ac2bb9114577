"""What all answers share that take their time: their ends, and the headers of a stream."""

from __future__ import annotations

import logging
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.errors import ApiError, ClientGone, internal_error
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.submission import api_error
from pilotage.serve.api.watch import Watch
from pilotage.serve.generation import GenerationFailed

_LOG = logging.getLogger(__name__)

STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would collect the events
]


class WatchedResponse(Response):
    """An answer whose work ends when the client hangs up or its time is over.

    What fails before the first byte becomes the request's status; what fails later is an event in
    the stream.

    Args:
        context: The gateway's.
        exchange: The request's.
    """

    def __init__(self, context: GatewayContext, exchange: Exchange) -> None:
        # Not Response's own, which makes headers and a body that are never sent.
        self.background = None
        self._context = context
        self._exchange = exchange
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response (ASGI)."""
        exchange, limit_s = self._exchange, self._limit_s()
        try:
            with Watch(scope, receive, exchange.arrived + limit_s, limit_s):
                await self._answer(send)
        except ClientGone:
            exchange.finish_reason = "cancelled"
            raise
        except ApiError as error:
            await self._fail(error, send)
        except Exception as error:
            known = self._known(error)
            if known is None:
                if not self._started:
                    raise
                _LOG.exception("request %s failed while streaming", exchange.request_id)
                known = internal_error(exchange.request_id)
            await self._fail(known, send)
        finally:
            self._end()

    async def _answer(self, send: Send) -> None:
        """Do the work and send what it brings."""
        raise NotImplementedError

    def _end(self) -> None:
        """Whatever happened, nothing more is sent: let go and count."""

    def _limit_s(self) -> float:
        """Seconds from the request's arrival to its answer's end."""
        return self._context.limits.request_timeout_s

    def _known(self, error: Exception) -> ApiError | None:
        """What to tell the client of ``error``; None for one that nobody has foreseen."""
        return api_error(self._context, error) if isinstance(error, GenerationFailed) else None

    def _gap(self) -> bytes:
        """What goes before an event that ends a stream: an event may have been broken off."""
        return b""

    async def _begin(
        self, send: Send, headers: list[tuple[bytes, bytes]], status: int = 200
    ) -> None:
        self._started = True
        # A copy: the layers around add theirs to it.
        await send({"type": "http.response.start", "status": status, "headers": [*headers]})

    async def _send_json(self, send: Send, body: bytes) -> None:
        await self._begin(
            send, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        )
        await send({"type": "http.response.body", "body": body})

    async def _fail(self, error: ApiError, send: Send) -> None:
        exchange = self._exchange
        exchange.reason = error.code
        if error.code == "request_timeout":
            exchange.finish_reason = "cancelled"
        if not self._started:
            raise error
        await send({"type": "http.response.body", "body": self._gap() + error.event()})
