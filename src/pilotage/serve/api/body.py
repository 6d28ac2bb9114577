"""Request bodies: bounded, strict JSON, an object at the top."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request

from pilotage.serve.api.errors import ApiError, ClientGone
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.worker_path import choose_model

_BODY_TIMEOUT_S = 60.0


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body.

    JSON as RFC 8259 has it: no NaN, no Infinity, no half surrogate pairs, UTF-8 only.

    Raises:
        ApiError: There is none (400), it is not called JSON (415), it is too long (413, from the
            middleware), it did not arrive in time (408), or it names another model than its path
            (400).
        ClientGone: The client hung up before it had sent everything.
    """
    check_json_headers(request)
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            content = await request.body()
    except ClientDisconnect:
        raise ClientGone from None
    except TimeoutError:
        raise ApiError(
            f"The request's body did not arrive within {_BODY_TIMEOUT_S:g} s.",
            status=408,
            code="request_timeout",
            headers={"connection": "close"},
        ) from None
    body = decode_object(content)
    choose_model(Exchange.of(request.scope), body)
    return body


def check_json_headers(request: Request) -> None:
    """Check that a request says its body is JSON, uncompressed.

    Raises:
        ApiError: 415, it is not.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
    if media_type and not is_json:
        raise ApiError(
            f"The body's Content-Type is {media_type[:100]!r}; send application/json.",
            status=415,
            code="unsupported_media_type",
        )
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise ApiError(
            f"The body's Content-Encoding is {encoding[:100]!r}; send it uncompressed.",
            status=415,
            code="unsupported_media_type",
        )


def decode_object(content: bytes) -> dict[str, Any]:
    """The JSON object that these bytes are.

    Raises:
        ApiError: They are none.
    """
    if not content.strip():
        raise ApiError("The body is empty; send a JSON object.", code="invalid_json")
    try:
        decoded = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(f"The body is not valid JSON: {error}.", code="invalid_json") from None
    except RecursionError:
        raise ApiError("The body is nested too deep.", code="invalid_json") from None
    if not isinstance(decoded, dict):
        raise ApiError("The body is not a JSON object.", code="invalid_json")
    return decoded
