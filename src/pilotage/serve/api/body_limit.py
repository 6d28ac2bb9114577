"""Bodies are refused at their announced length, or when they have become too long."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilotage.serve.api.errors import ApiError
from pilotage.serve.api.exchange import header


class BodyLimitLayer:
    """Counts what arrives; nothing beyond the limit is read or kept.

    Args:
        app: What answers.
        max_bytes: Longest body, where nothing else is said.
        longer: Paths whose bodies may be longer, and how long they may be now.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        longer: Mapping[str, Callable[[], int]] | None = None,
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._longer = dict(longer or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        longer = self._longer.get(scope["path"])
        most = self._max_bytes if longer is None else longer()
        announced = header(scope, b"content-length") or ""
        if announced.isdecimal() and int(announced[:20]) > most:
            raise _too_long(most)
        arrived = 0

        async def receive_counted() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > most:
                raise _too_long(most)
            return message

        await self._app(scope, receive_counted, send)


def _too_long(most: int) -> ApiError:
    return ApiError(
        f"The body is longer than {most} bytes.",
        status=413,
        code="body_too_large",
        # The rest of the body is never read, so nothing else can follow on this connection.
        headers={"connection": "close"},
    )
