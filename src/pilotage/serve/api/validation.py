"""A decoded body into a request object, with one clear error if it does not fit."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pilotage.serve.api.errors import ApiError
from pilotage.serve.api.refusals import without_neutral

RequestT = TypeVar("RequestT", bound=BaseModel)

_MESSAGE_NEUTRAL = ("tool_calls", "function_call", "tool_call_id", "audio", "refusal")


def parse(kind: type[RequestT], body: dict[str, Any]) -> RequestT:
    """The body as a `kind`.

    Raises:
        ApiError: 400, naming the field.
    """
    fields = without_neutral(body, kind.model_fields)
    messages = fields.get("messages")
    if isinstance(messages, list):
        fields["messages"] = [_plain_message(message) for message in messages]
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise _explained(error, fields) from None


def _plain_message(message: Any) -> Any:
    # `without_neutral` has let these through only where they are empty.
    if not isinstance(message, dict):
        return message
    return {name: value for name, value in message.items() if name not in _MESSAGE_NEUTRAL}


def _explained(error: ValidationError, body: dict[str, Any]) -> ApiError:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    places = [_place(detail, body) for detail in details]
    # Of a union's complaints those that got furthest into the value say the most.
    deepest = max(places, key=lambda place: place.count(".") + place.count("["))
    first = places[0] if not deepest.startswith(places[0]) else deepest
    said = dict.fromkeys(
        _message(detail) for detail, place in zip(details, places, strict=True) if place == first
    )
    return ApiError(
        f"'{first}': {', or '.join(said)}." if first else f"{', or '.join(said)}.",
        code="missing_required_parameter" if details[0]["type"] == "missing" else "invalid_value",
        param=first or None,
    )


def _message(detail: ErrorDetails) -> str:
    if detail["type"] == "missing":
        return "this field is required"
    if detail["type"] == "extra_forbidden":
        return "unknown field"
    message = detail["msg"]
    return message[:1].lower() + message[1:]


def _place(detail: ErrorDetails, body: dict[str, Any]) -> str:
    """Where in the body, such as ``messages[0].content``; without pydantic's names of types."""
    place = ""
    value: Any = body
    location = detail["loc"]
    for position, step in enumerate(location):
        last = position == len(location) - 1
        if isinstance(step, int) and isinstance(value, list) and step < len(value):
            place, value = f"{place}[{step}]", value[step]
        elif isinstance(step, str) and isinstance(value, dict):
            if step in value:
                place, value = f"{place}.{step}", value[step]
            elif last and detail["type"] == "missing":
                place = f"{place}.{step}"
    return place.lstrip(".")[:256]
