"""What a model is for, and which route that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pilotage.engines.engine import Task
from pilotage.serve.api.context import ServedModel
from pilotage.serve.api.errors import ApiError

_ROUTES: Final[Mapping[Task, tuple[str, str]]] = {
    "generate": ("generates text", "/v1/chat/completions or /v1/completions"),
    "embed": ("makes embeddings", "/v1/embeddings"),
    "question-answering": ("answers questions about a text", "/v1/predict"),
    "classify": ("classifies texts", "/v1/predict"),
}


def check_task(model: ServedModel, *tasks: Task) -> None:
    """Check that a route's model is for what the route does.

    Raises:
        ApiError: 400, naming the route that the model is for.
    """
    if model.task not in tasks:
        does, route = _ROUTES[model.task]
        raise ApiError(
            f"The model '{model.name}' {does}: use {route}.", code="wrong_task", param="model"
        )
