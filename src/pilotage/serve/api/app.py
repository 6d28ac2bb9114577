"""The gateway's HTTP API as one ASGI app."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pilotage import __version__
from pilotage.serve.api import wire
from pilotage.serve.api.access import AccessLayer
from pilotage.serve.api.admin import add_admin_routes
from pilotage.serve.api.authentication import AuthenticationLayer
from pilotage.serve.api.body import read_object
from pilotage.serve.api.body_limit import BodyLimitLayer
from pilotage.serve.api.chat_request import ChatRequest
from pilotage.serve.api.completion_request import CompletionRequest
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.docs_page import docs_page
from pilotage.serve.api.encoder_routes import add_encoder_routes
from pilotage.serve.api.errors import ApiError, invalid
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.generations import answer_chat, answer_completion
from pilotage.serve.api.health import add_health_routes
from pilotage.serve.api.infer import answer_infer
from pilotage.serve.api.infer_form import form_body, longest_form
from pilotage.serve.api.lifted_body import chat_body, longest_chat_body
from pilotage.serve.api.model_list import all_cards, card_of
from pilotage.serve.api.openapi import describe, error_responses, json_body
from pilotage.serve.api.submission import find_model
from pilotage.serve.api.tokenization import (
    DetokenizeRequest,
    TokenizeRequest,
    detokenize,
    tokenize,
)
from pilotage.serve.api.worker_path import (
    WorkerPathLayer,
    describe_worker_paths,
    worker_path_template,
)
from pilotage.serve.telemetry.metrics import CONTENT_TYPE

_GENERATION_ERRORS = (400, 401, 403, 404, 408, 413, 415, 429, 500, 503, 504)
_POST_ERRORS = (400, 401, 403, 404, 408, 413, 415, 500)
_EVENTS = {"text/event-stream": {"schema": {"type": "string"}}}
_DESCRIPTION = "OpenAI-compatible inference on the models of this server."
_ELSEWHERE = "other"

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def create_app(context: GatewayContext) -> FastAPI:
    """The API, ready to be served.

    Args:
        context: The models and everything around them.
    """
    app = FastAPI(
        title="Pilotage",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    routing = context.routing
    _add_generation_routes(app, context)
    _add_token_routes(app, context)
    _add_model_routes(app, context)
    add_health_routes(app, context)
    bodies = add_admin_routes(app, context) + add_encoder_routes(app, context)
    _add_document_routes(app, context, bodies, [] if routing is None else [*routing.bodies])
    app.add_exception_handler(HTTPException, _routing_error)

    # The last one added is the outermost.
    if routing is not None:
        app.add_middleware(routing.layer, context=context)
    app.add_middleware(
        BodyLimitLayer,
        max_bytes=context.limits.max_body_bytes,
        longer={
            "/infer": lambda: longest_form(context),
            "/v1/chat/completions": lambda: longest_chat_body(context),
            "/invocations": lambda: longest_chat_body(context),
        },
    )
    app.add_middleware(WorkerPathLayer, routes=_templates(app).values())
    app.add_middleware(AuthenticationLayer, context=context)
    app.add_middleware(AccessLayer, context=context, endpoint_of=_endpoints(app))
    return app


def bare(app: FastAPI) -> ASGIApp:
    """The app from its outermost layer of ours on.

    What FastAPI puts around that (telemetry, an error page) does nothing here, for each request.
    """
    stack: Any = app.build_middleware_stack()
    while not isinstance(stack, AccessLayer):
        stack = stack.app

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = app
        await stack(scope, receive, send)

    return answer


def _add_generation_routes(app: FastAPI, context: GatewayContext) -> None:
    routing = context.routing

    async def chat(request: Request) -> Response:
        async with chat_body(context, request) as body:
            if routing is not None and routing.answers(body):
                return await routing.answer(context, request, body)
            return await answer_chat(context, request, body)

    async def completions(request: Request) -> Response:
        return await answer_completion(context, request, await read_object(request))

    async def invocations(request: Request) -> Response:
        async with chat_body(context, request) as body:
            if ("messages" in body) == ("prompt" in body):
                raise invalid(
                    "messages", "Give either 'messages' (chat) or 'prompt' (completions)."
                )
            if routing is not None and "messages" in body:
                if body.get("model") is None:
                    body["model"] = routing.model
                if routing.answers(body):
                    return await routing.answer(context, request, body)
            if body.get("model") is None:
                body["model"] = find_model(context, None).name
            answer = answer_chat if "messages" in body else answer_completion
            return await answer(context, request, body)

    async def infer(request: Request) -> Response:
        return await answer_infer(context, request)

    chat_bodies: list[type[BaseModel]] = [ChatRequest]
    chat_answer: Any = wire.ChatCompletion
    if routing is not None:
        # What a provider understands and answers is the provider's business.
        chat_bodies += routing.bodies
        chat_answer |= wire.RoutedCompletion
    more_errors = () if routing is None else (402, 502)

    def add(path: str, handler: _Handler, summary: str, *, ok: Any, body: dict[str, Any]) -> None:
        app.add_api_route(
            path,
            handler,
            methods=["POST"],
            summary=summary,
            response_model=None,
            response_class=JSONResponse,
            responses={
                **error_responses(*_GENERATION_ERRORS, *more_errors),
                200: {"model": ok, "description": "The answer, whole or as events."}
                | {"content": _EVENTS},
            },
            openapi_extra=body,
        )

    add(
        "/v1/chat/completions",
        chat,
        "Answer a conversation",
        ok=chat_answer,
        body=json_body(*chat_bodies),
    )
    add(
        "/v1/completions",
        completions,
        "Continue prompts",
        ok=wire.Completion,
        body=json_body(CompletionRequest),
    )
    add(
        "/invocations",
        invocations,
        "SageMaker's name for both; the model may be left out",
        ok=chat_answer | wire.Completion,
        body=json_body(*chat_bodies, CompletionRequest, model_may_be_absent=True),
    )
    add(
        "/infer",
        infer,
        "Answer a prompt about images, sent as a form",
        ok=wire.Inference,
        body=form_body(),
    )


def _add_token_routes(app: FastAPI, context: GatewayContext) -> None:
    async def to_tokens(request: Request) -> Response:
        body = await read_object(request)
        return JSONResponse(await tokenize(context, Exchange.of(request.scope), body))

    async def to_text(request: Request) -> Response:
        body = await read_object(request)
        return JSONResponse(detokenize(context, Exchange.of(request.scope), body))

    def add(path: str, handler: _Handler, summary: str, ok: Any, body: Any) -> None:
        app.add_api_route(
            path,
            handler,
            methods=["POST"],
            summary=summary,
            response_model=None,
            responses={
                **error_responses(*_POST_ERRORS),
                200: {"model": ok, "description": summary},
            },
            openapi_extra=json_body(body),
        )

    add("/tokenize", to_tokens, "A prompt as token ids", wire.Tokens, TokenizeRequest)
    add("/detokenize", to_text, "Token ids as text", wire.DetokenizedText, DetokenizeRequest)


def _add_model_routes(app: FastAPI, context: GatewayContext) -> None:
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": all_cards(context)})

    async def model(request: Request) -> Response:
        return JSONResponse(card_of(context, request.path_params["model"]))

    name_parameter = {
        "name": "model",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
    }
    app.add_api_route(
        "/v1/models",
        models,
        summary="The served models",
        response_model=None,
        responses={200: {"model": wire.ModelList}, **error_responses(401, 500)},
    )
    app.add_api_route(
        "/v1/models/{model:path}",
        model,
        summary="One of the served models",
        response_model=None,
        responses={200: {"model": wire.ModelCard}, **error_responses(401, 404, 500)},
        openapi_extra={"parameters": [name_parameter]},
    )


def _add_document_routes(
    app: FastAPI,
    context: GatewayContext,
    more_bodies: list[type[BaseModel]],
    chat_bodies: list[type[BaseModel]],
) -> None:
    bodies: list[type[BaseModel]] = [
        *more_bodies,
        *chat_bodies,
        ChatRequest,
        CompletionRequest,
        TokenizeRequest,
        DetokenizeRequest,
    ]

    async def metrics() -> Response:
        return Response(context.render_metrics(), headers={"content-type": CONTENT_TYPE})

    async def openapi() -> Response:
        return JSONResponse(app.openapi())

    async def docs() -> Response:
        return HTMLResponse(docs_page(app.openapi()))

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            defaulting: list[type[BaseModel]] = [ChatRequest, CompletionRequest, *chat_bodies]
            app.openapi_schema = describe(app, bodies, defaulting)
            describe_worker_paths(app.openapi_schema)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
    app.add_api_route(
        "/metrics",
        metrics,
        summary="Metrics in Prometheus text format",
        response_class=Response,
        response_model=None,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **error_responses(401, 500),
        },
    )
    app.add_api_route("/openapi.json", openapi, include_in_schema=False, response_model=None)
    app.add_api_route("/docs", docs, include_in_schema=False, response_model=None)


async def _routing_error(request: Request, failure: Exception) -> Response:
    status = failure.status_code if isinstance(failure, HTTPException) else 404
    called = f"{request.method[:16]} {request.url.path[:200]}"
    if status == 405:
        error = ApiError(
            f"This route does not take {request.method[:16]}: {called}.",
            status=405,
            code="method_not_allowed",
            headers=getattr(failure, "headers", None),
        )
    else:
        error = ApiError(f"There is no such route: {called}.", status=404, code="unknown_url")
    Exchange.of(request.scope).reason = error.code
    return error.response()


def _endpoints(app: FastAPI) -> Callable[[str], str]:
    templates = _templates(app)
    plain = frozenset(templates.values())
    # A route with parameters: its template names them, their values stay out of labels.
    parametric = [pattern for pattern, template in templates.items() if "{" in template]

    def endpoint_of(path: str) -> str:
        if path in plain:
            return path
        for pattern in parametric:
            if pattern.match(path):
                return templates[pattern]
        return worker_path_template(path) or _ELSEWHERE

    return endpoint_of


def _templates(app: FastAPI) -> dict[re.Pattern[str], str]:
    """The paths that each route answers, and its template."""
    return {route.path_regex: route.path_format for route in app.routes if isinstance(route, Route)}
