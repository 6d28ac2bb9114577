"""The spec as JSON Schema, for editors that complete and check while one types."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from pilotage.spec.deployment import Deployment, Portfolio


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a spec file: a portfolio if it has ``deployments``."""
    references, schema = models_json_schema(
        [(Deployment, "validation"), (Portfolio, "validation")], title="Pilotage deployment spec"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": schema["title"],
        "description": "One model behind one endpoint, or a portfolio under one budget.",
        # "if" rather than "anyOf": an editor then reports against the one form that is meant.
        "if": {"type": "object", "required": ["deployments"]},
        "then": references[(Portfolio, "validation")],
        "else": references[(Deployment, "validation")],
        "$defs": schema["$defs"],
    }
