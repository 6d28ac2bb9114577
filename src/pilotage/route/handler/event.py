"""What Lambda calls the function with: four kinds of events, one kind of request.

- Function URLs and HTTP APIs (API Gateway v2) send payload format 2.0.
- REST APIs (API Gateway v1) send format 1.0.
- Anything else is a direct invocation: the event itself is the request's body, and its fields say
  which endpoint it is for.

Events come from outside: nothing here trusts their shape.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec

from pilotage.route.handler.refusal import Refusal

LAMBDA_PAYLOAD: Final = 6 * 1024 * 1024
"""Bytes of a synchronous invocation's payload, each way: 6,291,456.

Source: Lambda quotas, "Invocation payload (request and response)".
"""


class EventKind(StrEnum):
    """Who calls, which decides the form of the answer and how long the caller waits."""

    FUNCTION_URL = "function_url"
    HTTP_API = "http_api"
    REST_API = "rest_api"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request out of an event.

    Attributes:
        kind: What kind of event it came in.
        method: Upper case.
        path: Without the stage and the base path; no slash at its end.
        headers: With names in lower case.
        body: Bytes; empty where there were none.
    """

    kind: EventKind
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


def kind_of(event: Any) -> EventKind:
    """What kind of event it is; whatever is not one of API Gateway's is a direct invocation."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    if not isinstance(context, dict):
        return EventKind.DIRECT
    if isinstance(context.get("http"), dict):
        # Nothing else tells the two apart: both are format 2.0, and APIs may have any domain.
        domain = context.get("domainName")
        is_url = isinstance(domain, str) and ".lambda-url." in domain
        return EventKind.FUNCTION_URL if is_url else EventKind.HTTP_API
    if isinstance(event.get("httpMethod"), str):
        return EventKind.REST_API
    return EventKind.DIRECT


def read_event(event: Any, *, base_path: str = "", most_bytes: int = LAMBDA_PAYLOAD) -> Request:
    """The request in an event.

    Args:
        event: As Lambda decoded it.
        base_path: What a custom domain puts before every path, such as "/models".
        most_bytes: Largest body.

    Raises:
        Refusal: The body is too large, or cannot be read.
    """
    kind = kind_of(event)
    if kind is EventKind.DIRECT:
        return _direct(event, most_bytes)
    context = event["requestContext"]
    if kind is EventKind.REST_API:
        method, path = event["httpMethod"], event.get("path")
    else:
        method, path = context["http"].get("method"), event.get("rawPath")
        # The path of an HTTP API begins with its stage, unless that is the default one.
        stage = context.get("stage")
        if isinstance(stage, str) and stage != "$default" and kind is EventKind.HTTP_API:
            path = _without(path, f"/{stage}")
    return Request(
        kind=kind,
        method=method.upper() if isinstance(method, str) else "",
        path=(_without(path, base_path) or "").rstrip("/") or "/",
        headers=_headers(event),
        body=_body(event, most_bytes),
    )


def _without(path: Any, prefix: str) -> str:
    if not isinstance(path, str):
        return ""
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        return path[len(prefix) :]
    return path


def _headers(event: Mapping[str, Any]) -> dict[str, str]:
    headers = {}
    several = event.get("multiValueHeaders")
    for name, values in several.items() if isinstance(several, dict) else ():
        if isinstance(values, list) and values and isinstance(values[-1], str):
            headers[str(name).lower()] = values[-1]
    single = event.get("headers")
    for name, value in single.items() if isinstance(single, dict) else ():
        if isinstance(value, str):
            headers[str(name).lower()] = value
    return headers


def _body(event: Mapping[str, Any], most_bytes: int) -> bytes:
    text = event.get("body")
    if text is None:
        return b""
    if not isinstance(text, str):
        raise Refusal("The event's body should be a text.", code="invalid_body")
    encoded = event.get("isBase64Encoded") is True
    # No more than that can come out of it; what is larger is not even decoded.
    if len(text) > (most_bytes * 4 // 3 + 4 if encoded else most_bytes):
        raise _too_large(most_bytes)
    try:
        body = base64.b64decode(text, validate=True) if encoded else text.encode()
    except (binascii.Error, ValueError):  # a lone surrogate in a text is a ValueError, too
        form = "Base64" if encoded else "Unicode"
        raise Refusal(f"The body is not valid {form}.", code="invalid_body") from None
    if len(body) > most_bytes:
        raise _too_large(most_bytes)
    return body


def _direct(event: Any, most_bytes: int) -> Request:
    if not isinstance(event, dict):
        raise Refusal(
            'The event should be an object, such as {"prompt": "Hello"} or {"messages": […]}.',
            code="invalid_body",
        )
    try:
        body = msgspec.json.encode(event)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        raise Refusal("The event is not valid JSON.", code="invalid_body") from None
    if len(body) > most_bytes:
        raise _too_large(most_bytes)
    method, path = "POST", "/v1/chat/completions"
    if "text" in event or "texts" in event:
        path = "/moderate"
    elif "health" in event:
        method, path = "GET", "/health"
    return Request(kind=EventKind.DIRECT, method=method, path=path, headers={}, body=body)


def _too_large(most_bytes: int) -> Refusal:
    return Refusal(
        f"The body is larger than {most_bytes} bytes. Shorten the conversation, send images by "
        "their URL, or send several requests.",
        status=413,
        code="request_too_large",
    )
