"""The served models."""

from __future__ import annotations

from typing import Any

from pilotage.serve.api.context import ServedModel


def model_card(model: ServedModel) -> dict[str, Any]:
    """A model as ``/v1/models`` shows it."""
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "pilotage",
        "max_model_len": model.context_length(),
    }
