"""The routes of encoders: embeddings and predictions."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pilotage.serve.api import wire
from pilotage.serve.api.body import read_object
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.embeddings import answer_embeddings
from pilotage.serve.api.embeddings_request import EmbeddingRequest
from pilotage.serve.api.openapi import error_responses, json_body
from pilotage.serve.api.predict import answer_predict
from pilotage.serve.api.predict_request import PredictRequest

_ERRORS = (400, 401, 403, 404, 408, 413, 415, 429, 500, 503, 504)


def add_encoder_routes(app: FastAPI, context: GatewayContext) -> list[type[BaseModel]]:
    """Add them; returns the bodies they take, for the OpenAPI document."""

    async def embeddings(request: Request) -> Response:
        return await answer_embeddings(context, request, await read_object(request))

    async def predict(request: Request) -> Response:
        return await answer_predict(context, request, await read_object(request))

    routes: tuple[tuple[str, Any, str, Any, type[BaseModel]], ...] = (
        (
            "/v1/embeddings",
            embeddings,
            "Texts as vectors",
            wire.EmbeddingList,
            EmbeddingRequest,
        ),
        (
            "/v1/predict",
            predict,
            "Answer a question from a text, or classify texts",
            wire.AnswerPrediction | wire.LabelPrediction,
            PredictRequest,
        ),
    )
    for path, handler, summary, ok, body in routes:
        app.add_api_route(
            path,
            handler,
            methods=["POST"],
            summary=summary,
            response_model=None,
            response_class=JSONResponse,
            responses={
                **error_responses(*_ERRORS),
                200: {"model": ok, "description": "The answers to all inputs."},
            },
            openapi_extra=json_body(body),
        )
    return [body for *_, body in routes]
