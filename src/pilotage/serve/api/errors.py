"""Errors as the OpenAI API writes them: ``{"error": {message, type, param, code}}``."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from pilotage.serve.generation import GenerationFailed


class ApiError(Exception):
    """A request is answered with an error object.

    Args:
        message: What was wrong and what to do, for the person who reads it.
        status: HTTP status.
        code: Machine-readable code.
        param: The request's field concerned, such as ``messages[0].content``.
        retry_after_s: Seconds after which coming back helps.
        headers: More response headers.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})

    @property
    def type(self) -> str:
        """OpenAI's class of the error."""
        if self.status == 429:
            return "rate_limit_error"
        if self.status == 402:
            return "insufficient_quota"
        return "server_error" if self.status >= 500 else "invalid_request_error"

    def body(self) -> bytes:
        """The error object as JSON."""
        return msgspec.json.encode(
            {
                "error": {
                    "message": self.message,
                    "type": self.type,
                    "param": self.param,
                    "code": self.code,
                }
            }
        )

    def event(self) -> bytes:
        """The error as a server-sent event, for a stream that has begun."""
        return b"data: " + self.body() + b"\n\n"

    def response(self) -> Response:
        """The error as a response of its own."""
        headers = dict(self.headers)
        if self.retry_after_s is not None:
            # The header in the standard has whole seconds; OpenAI's client reads the finer one.
            headers["retry-after"] = str(math.ceil(self.retry_after_s))
            headers["retry-after-ms"] = str(math.ceil(self.retry_after_s * 1000))
        return Response(
            self.body(), status_code=self.status, headers=headers, media_type="application/json"
        )

    @staticmethod
    def of(failure: GenerationFailed) -> ApiError:
        """What a generation's failure says to its client."""
        return ApiError(
            failure.message,
            status=failure.status,
            code=failure.code,
            retry_after_s=failure.retry_after_s,
        )


def unsupported(param: str, message: str) -> ApiError:
    """The refusal of a parameter that this server does not have."""
    return ApiError(message, code="unsupported_parameter", param=param)


def invalid(param: str | None, message: str) -> ApiError:
    """The refusal of a value that makes no sense."""
    return ApiError(message, code="invalid_value", param=param)


def internal_error(request_id: str) -> ApiError:
    """The answer when the server itself is at fault; the log has the rest under this id."""
    return ApiError(
        f"The server failed. Its log says why, under the request id {request_id}.",
        status=500,
        code="internal_error",
    )


def bad_schema(where: str, message: str) -> ApiError:
    """The refusal of a JSON Schema; `where` is the path of the keyword in it."""
    shown = where if len(where) <= 256 else f"{where[:256]}…"
    return ApiError(f"'{shown}': {message}.", code="invalid_json_schema", param=shown)


class ClientGone(Exception):
    """The client closed its connection before it was answered."""
