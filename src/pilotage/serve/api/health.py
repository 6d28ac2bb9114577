"""Probes: is the process there, has it started, can it answer."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response

from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.wire import HealthBody


def add_health_routes(app: FastAPI, context: GatewayContext) -> None:
    """Add ``/health/live``, ``/health/startup``, ``/health/ready``, ``/health`` and ``/ping``."""

    async def live() -> Response:
        return _answer(context, is_well=True)

    async def startup() -> Response:
        return _answer(context, is_well=context.health().state != "loading")

    async def ready() -> Response:
        return _answer(context, is_well=context.health().state == "ready")

    probes: list[tuple[str, Any, str]] = [
        ("/health/live", live, "Whether the process answers"),
        ("/health/startup", startup, "Whether a model has ever answered"),
        ("/health/ready", ready, "Whether a model answers now"),
        ("/health", ready, "Whether a model answers now"),
        ("/ping", ready, "SageMaker's name for /health/ready"),
    ]
    for path, probe, summary in probes:
        app.add_api_route(
            path,
            probe,
            summary=summary,
            response_model=None,
            responses={
                200: {"model": HealthBody, "description": "Yes."},
                503: {"model": HealthBody, "description": "No; the reason says why."},
            },
        )


def _answer(context: GatewayContext, *, is_well: bool) -> Response:
    health = context.health()
    body = {"status": health.state, "reason": health.reason, "details": dict(health.details)}
    return JSONResponse(body, status_code=200 if is_well else 503)
