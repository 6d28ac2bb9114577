"""``/v1/admin``: an operator steers the models of the running server."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pilotage.errors import ModelError, PilotageError, ResourceError, SourceError, UsageError
from pilotage.serve.api.admin_wire import (
    AdminModel,
    AdminModelList,
    Alias,
    AliasList,
    DeletedAlias,
    SetAlias,
)
from pilotage.serve.api.body import read_object
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.errors import ApiError, invalid
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.openapi import error_responses, json_body
from pilotage.serve.api.validation import parse
from pilotage.serve.control import AliasTarget, ModelControl

_log = logging.getLogger("pilotage.admin")

_SHOWN_NAMES: Final = 20
_READ: Final = (401, 403, 500)
_CHANGE: Final = (*_READ, 400, 404, 408, 413, 415)
_LOAD: Final = (*_CHANGE, 409, 422, 502, 507)

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def add_admin_routes(app: FastAPI, context: GatewayContext) -> list[type[BaseModel]]:
    """Add the routes; returns the request bodies that they describe.

    A server whose models cannot be steered (`GatewayContext.control` is None) gets none of them.
    """
    if context.control is None:
        return []
    _add_model_routes(app, context.control)
    _add_alias_routes(app, context.control)
    return [SetAlias]


def _add_model_routes(app: FastAPI, control: ModelControl) -> None:
    async def models(request: Request) -> Response:
        del request
        return _answer({"object": "list", "data": control.models()})

    async def load(request: Request) -> Response:
        name = await _model_name(request, control)
        try:
            status = await control.load(name)
        except PilotageError as error:
            raise _refusal(error, name, control) from error
        return _done(request, f"loaded the model {name}", status)

    async def unload(request: Request) -> Response:
        name = await _model_name(request, control)
        try:
            status = await control.unload(name)
        except PilotageError as error:
            raise _refusal(error, name, control) from error
        return _done(request, f"unloaded the model {name}", status)

    _route(app, "GET", "/v1/admin/models", models, "All models", ok=AdminModelList, errors=_READ)
    one = "/v1/admin/models/{name:path}"
    load_summary = "Load a model and wait for it"
    _route(app, "POST", f"{one}/load", load, load_summary, ok=AdminModel, errors=_LOAD)
    unload_summary = "Let its requests finish, then free a model's memory"
    _route(app, "POST", f"{one}/unload", unload, unload_summary, ok=AdminModel, errors=_LOAD)


def _add_alias_routes(app: FastAPI, control: ModelControl) -> None:
    async def aliases(request: Request) -> Response:
        del request
        found = [{"name": name, "targets": behind} for name, behind in control.aliases().items()]
        return _answer({"object": "list", "data": found})

    async def put(request: Request) -> Response:
        name = request.path_params["name"]
        wanted = parse(SetAlias, await read_object(request))
        targets = tuple(AliasTarget(target.model, target.weight) for target in wanted.targets)
        try:
            control.set_alias(name, targets)
        except UsageError as error:
            raise invalid(error.where, _sentence(error)) from error
        told = ", ".join(f"{target.model}={target.weight:g}" for target in targets)
        answer = {"name": name, "targets": targets}
        return _done(request, f"set the alias {name} to {told}", answer)

    async def delete(request: Request) -> Response:
        await _expect_no_body(request)
        name = request.path_params["name"]
        try:
            control.remove_alias(name)
        except UsageError as error:
            raise ApiError(
                _sentence(error), status=404, code="alias_not_found", param="name"
            ) from error
        return _done(request, f"removed the alias {name}", {"name": name, "deleted": True})

    path = "/v1/admin/aliases"
    one = f"{path}/{{name:path}}"
    _route(app, "GET", path, aliases, "All aliases", ok=AliasList, errors=_READ)
    put_summary = "Make or move an alias"
    _route(app, "PUT", one, put, put_summary, ok=Alias, errors=_CHANGE, body=SetAlias)
    _route(app, "DELETE", one, delete, "Take an alias away", ok=DeletedAlias, errors=_CHANGE)


def _route(
    app: FastAPI,
    method: str,
    path: str,
    handler: _Handler,
    summary: str,
    *,
    ok: type[BaseModel],
    errors: tuple[int, ...],
    body: type[BaseModel] | None = None,
) -> None:
    extra: dict[str, Any] = {} if body is None else json_body(body)
    if "{name" in path:
        schema = {"type": "string", "minLength": 1, "maxLength": 512}
        extra["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": schema}]
    app.add_api_route(
        path,
        handler,
        methods=[method],
        summary=summary,
        response_model=None,
        responses={**error_responses(*sorted(errors)), 200: {"model": ok, "description": summary}},
        openapi_extra=extra,
    )


async def _model_name(request: Request, control: ModelControl) -> str:
    """The model that a request for loading or unloading is about."""
    await _expect_no_body(request)
    name: str = request.path_params["name"]
    names = [status.name for status in control.models()]
    if name in names:
        Exchange.of(request.scope).model = name
        return name
    if name in (aliases := control.aliases()):
        behind = _listed(target.model for target in aliases[name])
        said = f"'{name[:128]}' is an alias; name the model behind it: {behind}."
    else:
        near = difflib.get_close_matches(name[:128], names, n=1)
        meant = f"Did you mean '{near[0]}'? " if near else ""
        said = f"There is no model '{name[:128]}'. {meant}Models: {_listed(names)}."
    raise ApiError(said, status=404, code="model_not_found", param="name")


async def _expect_no_body(request: Request) -> None:
    announced = request.headers.get("content-length", "0")
    empty = announced == "0" and "transfer-encoding" not in request.headers
    if not empty and await read_object(request):
        raise invalid(None, "This route takes no body.")


def _refusal(error: PilotageError, name: str, control: ModelControl) -> ApiError:
    if isinstance(error, ResourceError):
        in_the_way = [
            status.name
            for status in control.models()
            if status.name != name and status.state in ("ready", "loading", "unloading")
        ]
        if in_the_way:
            said = f"{_sentence(error)} Loaded are: {_listed(in_the_way)}."
            return ApiError(said, status=409, code="not_enough_memory", param="name")
        return ApiError(_sentence(error), status=507, code="not_enough_memory", param="name")
    if isinstance(error, UsageError):
        return ApiError(_sentence(error), code="invalid_value", param="name")
    if isinstance(error, ModelError):
        return ApiError(_sentence(error), status=422, code="model_unusable", param="name")
    if isinstance(error, SourceError):
        return ApiError(_sentence(error), status=502, code="source_failed", param="name")
    return ApiError(_sentence(error), status=500, code="load_failed", param="name")


def _sentence(error: PilotageError) -> str:
    """The error as a sentence; where it is, if that is a field, becomes the error's ``param``."""
    said = f"{error.message[:1].upper()}{error.message[1:]}."
    if error.where is not None and not error.where.startswith(("name", "targets")):
        said = f"{error.where}: {said}"
    return f"{said} {error.hint.rstrip('.')}." if error.hint else said


def _listed(names: Collection[str] | Any) -> str:
    listed = list(names)
    more = len(listed) - _SHOWN_NAMES
    shown = ", ".join(listed[:_SHOWN_NAMES]) or "none"
    return f"{shown} and {more} more" if more > 0 else shown


def _done(request: Request, what: str, answer: Any) -> Response:
    """The answer to a change, which the log tells too, with who made it."""
    exchange = Exchange.of(request.scope)
    who = "without a key" if exchange.key is None else f"by the key {exchange.key.id}"
    _log.info("request %s %s, %s", exchange.request_id, what, who)
    return _answer(answer)


def _answer(value: Any) -> Response:
    return JSONResponse(msgspec.to_builtins(value))
