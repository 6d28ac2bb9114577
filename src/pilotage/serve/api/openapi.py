"""The OpenAPI document: bodies that are read by hand are described all the same."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from pilotage.serve.api.wire import ErrorBody

_REF = "#/components/schemas/{model}"
_WITHOUT_MODEL = "OnDefaultModel"

_ERRORS = {
    400: "The request does not fit; the error says which field and why.",
    401: "No API key, or none that is valid here.",
    402: "The API key's budget is spent; the error says when there is room again.",
    403: "The API key lacks the scope that this route needs.",
    404: "There is no such model.",
    405: "Another method than the route has.",
    408: "The body did not arrive in time.",
    409: "It does not fit into the memory beside what is loaded.",
    413: "The body is too long.",
    415: "The body is not JSON.",
    422: "The model's files cannot be used.",
    429: "Too much at present, or for this key; Retry-After says when to come back.",
    500: "The server failed.",
    502: "What was to answer failed, or the model could not be had from its source.",
    503: "No model is ready: loading, stalled or draining.",
    504: "The answer was not complete in time.",
    507: "It does not fit into the memory at all.",
}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The description of a route's errors."""
    return {status: {"model": ErrorBody, "description": _ERRORS[status]} for status in statuses}


def json_body(*kinds: type[BaseModel], model_may_be_absent: bool = False) -> dict[str, Any]:
    """The description of a route's body, to be given as ``openapi_extra``."""
    suffix = _WITHOUT_MODEL if model_may_be_absent else ""
    references: list[dict[str, Any]] = [
        {"$ref": _REF.format(model=kind.__name__ + suffix)} for kind in kinds
    ]
    schema = references[0] if len(references) == 1 else {"anyOf": references}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(
    app: FastAPI, kinds: list[type[BaseModel]], defaulting: list[type[BaseModel]]
) -> dict[str, Any]:
    """The OpenAPI document of the app.

    Args:
        app: With all its routes.
        kinds: The request bodies that `json_body` has named.
        defaulting: Those of them that it has named with a model that may be absent.
    """
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    _, bodies = models_json_schema([(kind, "validation") for kind in kinds], ref_template=_REF)
    components = document.setdefault("components", {})
    schemas = {**components.get("schemas", {}), **bodies.get("$defs", {})}
    for kind in defaulting:
        schemas[kind.__name__ + _WITHOUT_MODEL] = _without_model(schemas[kind.__name__])
    components["schemas"] = schemas
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{}, {"key": []}]
    return document


def on_default_model(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """A body's schema where the model may be left out, as the route has another word on it.

    Args:
        schema: A reference to one of the document's schemas; anything else stays as it is.
        document: The OpenAPI document; gets the schema that is referred to.
    """
    schemas = document["components"]["schemas"]
    name = schema.get("$ref", "").rpartition("/")[2]
    if "model" not in schemas.get(name, {}).get("properties", {}):
        return schema
    schemas.setdefault(name + _WITHOUT_MODEL, _without_model(schemas[name]))
    return {"$ref": _REF.format(model=name + _WITHOUT_MODEL)}


def _without_model(schema: dict[str, Any]) -> dict[str, Any]:
    """A body's schema where the model has a default."""
    model = {"anyOf": [schema["properties"]["model"], {"type": "null"}]}
    return schema | {
        "title": schema["title"] + _WITHOUT_MODEL,
        "required": [name for name in schema.get("required", ()) if name != "model"],
        "properties": schema["properties"] | {"model": model},
    }
