"""API keys: every route is denied without one, once any key exists; a key opens its scopes."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.errors import ApiError
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.keys import Scope, presented_key

OPEN_PATHS = frozenset({"/health", "/health/live", "/health/ready", "/health/startup", "/ping"})
PLATFORM_PATHS = OPEN_PATHS | {"/invocations"}
"""What SageMaker calls; it lets nobody reach anything else of a container."""
_ADMIN = re.compile(r"/v1/admin(/.*)?", re.DOTALL)
_ANY_SCOPE = re.compile(r"/metrics|/docs|/openapi\.json|/v1/models(/.*)?", re.DOTALL)


class AuthenticationLayer:
    """Lets a request through that has a fit key, needs none, or asks after the server's health."""

    def __init__(self, app: ASGIApp, context: GatewayContext) -> None:
        self._app = app
        self._keys = context.keys
        self._platform_only = context.platform_only

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer (ASGI)."""
        if scope["type"] == "http":
            if self._keys is not None and self._keys.any_keys:
                self._authenticate(scope)
            elif self._platform_only:
                _refuse_all_but_the_platforms(scope["path"])
            elif needed_scope(scope["path"]) is Scope.ADMIN:
                _refuse_web_pages(scope)
        await self._app(scope, receive, send)

    def _authenticate(self, scope: AsgiScope) -> None:
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
        needed = needed_scope(scope["path"])
        if needed is not None and needed not in key.scopes:
            has = ", ".join(key.scopes) or "none"
            raise ApiError(
                f"This route needs a key of the scope '{needed}'; the scopes of this key: {has}. "
                f"`pilotage keys add --scope {needed}` makes one.",
                status=403,
                code="insufficient_scope",
            )


def needed_scope(path: str) -> Scope | None:
    """The scope that a key needs for a path; None where any key will do.

    A path that nobody knows needs what inference needs, so that a route added later is closed.
    """
    if _ADMIN.fullmatch(path):
        return Scope.ADMIN
    return None if _ANY_SCOPE.fullmatch(path) else Scope.INFERENCE


def _refuse_all_but_the_platforms(path: str) -> None:
    if path not in PLATFORM_PATHS:
        raise ApiError(
            "This server is open to its platform alone, which calls /invocations. Any other route "
            "needs an API key, and there are none.",
            status=403,
            code="platform_only",
        )


def _refuse_web_pages(scope: AsgiScope) -> None:
    # Loopback is not a boundary to a browser: any page that is open on this machine can send
    # requests here, and browsers name the page in Origin with all that could change something.
    if "origin" in Headers(scope=scope):
        raise ApiError(
            "Web pages may not use this route without a key.",
            status=403,
            code="browser_not_allowed",
        )
