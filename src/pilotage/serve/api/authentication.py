"""API keys: every route is denied without one, once any key exists."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.errors import ApiError
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.keys import presented_key

OPEN_PATHS = frozenset({"/health", "/health/live", "/health/ready", "/health/startup", "/ping"})


class AuthenticationLayer:
    """Lets a request through that has a key, needs none, or asks after the server's health."""

    def __init__(self, app: ASGIApp, context: GatewayContext) -> None:
        self._app = app
        self._keys = context.keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer (ASGI)."""
        if scope["type"] == "http" and self._keys is not None and self._keys.any_keys:
            self._authenticate(scope)
        await self._app(scope, receive, send)

    def _authenticate(self, scope: Scope) -> None:
        if scope["path"] in OPEN_PATHS or self._keys is None:
            return
        presented = presented_key(Headers(scope=scope))
        key = self._keys.authenticate(presented)
        if key is None:
            raise ApiError(
                "The API key is not valid here."
                if presented
                else "An API key is needed: send it as 'Authorization: Bearer KEY'.",
                status=401,
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        Exchange.of(scope).key = key
