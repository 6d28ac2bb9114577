"""``/v1/workers/{worker}/models/{model}/…``: requests that name the worker that shall run them.

For comparing replicas and looking into one of them; every other request goes to the best worker.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from pilotage.serve.api.errors import ApiError, invalid
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.openapi import on_default_model

PREFIX: Final = "/v1/workers/{worker}/models/{model}/"
_ROUTES: Final = {
    "chat/completions": "/v1/chat/completions",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
    "predict": "/v1/predict",
    "infer": "/infer",
}
# A model's name may have slashes; the shortest that fits is meant, so that ".../chat/completions"
# is never the completions of a model ".../chat".
_PATH = re.compile(rf"/v1/workers/([^/]*)/models/(.+?)/({'|'.join(_ROUTES)})")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,5}")


class WorkerPathLayer:
    """Notes worker and model in the request's `Exchange` and passes it to the route behind.

    Args:
        app: What answers.
        routes: The paths that it has; a worker's path without a route behind it is unknown.
    """

    def __init__(self, app: ASGIApp, routes: Collection[str]) -> None:
        self._app = app
        self._routes = frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer (ASGI)."""
        if scope["type"] == "http":
            match = _PATH.fullmatch(scope["path"])
            if match is not None and _ROUTES[match[3]] in self._routes:
                exchange = Exchange.of(scope)
                exchange.worker = _worker_number(match[1])
                exchange.path_model = match[2]
                path = _ROUTES[match[3]]
                scope = {**scope, "path": path, "raw_path": path.encode("ascii")}
        await self._app(scope, receive, send)


def worker_path_template(path: str) -> str | None:
    """The template of a worker's path; None for any other path."""
    match = _PATH.fullmatch(path)
    return None if match is None else PREFIX + match[3]


def chosen_model(exchange: Exchange, named: str | None) -> str | None:
    """The model that a request is for: what its path says, else what its body names.

    Raises:
        ApiError: 400, they differ.
    """
    if exchange.path_model is None:
        return named
    if named is not None and named != exchange.path_model:
        raise invalid(
            "model",
            f"The path names the model '{exchange.path_model[:128]}', the body "
            f"'{str(named)[:128]}'; leave one out, or name the same in both.",
        )
    return exchange.path_model


def choose_model(exchange: Exchange, body: dict[str, Any]) -> None:
    """Put the model that the path names, if it does, into a request's body.

    Raises:
        ApiError: 400, the body names another.
    """
    if exchange.path_model is not None:
        body["model"] = chosen_model(exchange, body.get("model"))


def describe_worker_paths(document: dict[str, Any]) -> None:
    """Describe the paths in an OpenAPI document that describes the routes behind them."""
    parameters = [
        _parameter("worker", {"type": "integer", "minimum": 0, "maximum": 999_999}),
        _parameter("model", {"type": "string", "minLength": 1}),
    ]
    paths = document["paths"]
    for rest, route in _ROUTES.items():
        if "post" not in paths.get(route, {}):
            continue
        operation = copy.deepcopy(paths[route]["post"])
        operation["summary"] += ", on this worker"
        operation["operationId"] = f"worker_{rest.replace('/', '_')}"
        operation["parameters"] = parameters + operation.get("parameters", [])
        for content in operation.get("requestBody", {}).get("content", {}).values():
            content["schema"] = on_default_model(content["schema"], document)
        paths[PREFIX + rest] = {"post": operation}


def _worker_number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ApiError(
            f"There is no worker '{text[:64]}'; workers have numbers from 0.",
            status=404,
            code="worker_not_found",
        )
    return int(text)


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}
