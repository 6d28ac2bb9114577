"""Bodies are refused at their announced length, or when they have become too long."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilotage.serve.api.errors import ApiError


class BodyLimitLayer:
    """Counts what arrives; nothing beyond the limit is read or kept.

    Args:
        app: What answers.
        max_bytes: Longest body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > self._max_bytes:
            raise self._too_long()
        arrived = 0

        async def receive_counted() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > self._max_bytes:
                raise self._too_long()
            return message

        await self._app(scope, receive_counted, send)

    def _too_long(self) -> ApiError:
        return ApiError(
            f"The body is longer than {self._max_bytes} bytes.",
            status=413,
            code="body_too_large",
            # The rest of the body is never read, so nothing else can follow on this connection.
            headers={"connection": "close"},
        )
