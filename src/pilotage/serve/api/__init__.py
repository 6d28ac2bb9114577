"""The gateway's HTTP API: OpenAI's wire format, strict about what it takes."""

from pilotage.serve.api.app import create_app
from pilotage.serve.api.context import (
    FixedModels,
    GatewayContext,
    Health,
    HealthState,
    Limits,
    RequestMetrics,
    ServedModel,
)

__all__ = [
    "FixedModels",
    "GatewayContext",
    "Health",
    "HealthState",
    "Limits",
    "RequestMetrics",
    "ServedModel",
    "create_app",
]
