"""Refusals: what goes wrong, as a status and OpenAI's error object."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from pilotage.route.backends.backend import BackendError, Fault

_STATUS: Final[Mapping[Fault, tuple[int, str]]] = {
    Fault.TIMEOUT: (504, "timeout"),
    Fault.RATE_LIMITED: (429, "rate_limited"),
    Fault.OVERLOADED: (503, "overloaded"),
    Fault.REFUSED: (400, "refused"),
}
_TYPES: Final = {402: "insufficient_quota", 429: "rate_limit_error"}


class Refusal(Exception):
    """A request that is answered with an error.

    Args:
        message: What was wrong and what to do, for the client; nothing of the prompt, no secret.
        status: HTTP status, which a direct invocation finds in the error object.
        code: Machine-readable code.
        param: The field of the request concerned, such as ``messages[0].content``.
        retry_after_s: Seconds after which coming back helps.
        headers: More response headers.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str = "invalid_value",
        param: str | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["retry-after"] = str(math.ceil(retry_after_s))

    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {
            "error": {
                "message": self.message,
                "type": _TYPES.get(self.status, kind),
                "param": self.param,
                "code": self.code,
            }
        }

    @staticmethod
    def of(error: BackendError) -> Refusal:
        """What the failure of all tiers that could answer says to the client.

        What only the operator can mend (credentials, addresses) is not told to clients.
        """
        status, code = _STATUS.get(error.fault, (502, "backend_failed"))
        message = sentence(error.message)
        if error.fault is Fault.DENIED:
            message = "The model's backend refuses this function. The function's log says why."
        if error.fault is Fault.REFUSED and error.status in {400, 404, 409, 413, 415, 422}:
            status = error.status
        return Refusal(message, status=status, code=code, retry_after_s=error.retry_after_s)


def internal(request_id: str) -> Refusal:
    """The answer when the function itself is at fault; its log has the rest under this id."""
    return Refusal(
        f"The function failed. Its log says why, under the request id {request_id}.",
        status=500,
        code="internal_error",
    )


def sentence(message: str) -> str:
    """A message as a sentence: other rooms write theirs without a capital and a full stop."""
    return f"{message[:1].upper()}{message[1:]}{'' if message.endswith('.') else '.'}"
