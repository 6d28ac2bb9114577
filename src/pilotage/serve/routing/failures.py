"""What a failed attempt says to the client, in OpenAI's form."""

from __future__ import annotations

from typing import Final

from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.rejection import Rejection
from pilotage.serve.api.errors import ApiError

_STATUS: Final = {
    Fault.UNREACHABLE: 502,
    Fault.TIMEOUT: 504,
    Fault.RATE_LIMITED: 503,  # 429 would say that this client has sent too much
    Fault.OVERLOADED: 503,
    Fault.FAILED: 502,
    Fault.CUT: 502,
    Fault.GARBAGE: 502,
    Fault.DENIED: 502,
}
_PASSED_ON: Final = frozenset({400, 413})
_COME_BACK_S: Final = 1.0


def of_backend(error: BackendError) -> ApiError:
    """The answer to a request that no backend has answered."""
    if error.fault is Fault.REFUSED:
        return ApiError(
            _sentence(error.message if error.detail is None else error.detail),
            status=error.status if error.status in _PASSED_ON else 400,
            code="provider_refused",
        )
    wait_s = error.retry_after_s
    if wait_s is None and error.fault is not Fault.DENIED:
        wait_s = _COME_BACK_S
    return ApiError(
        _sentence(error.message),
        status=_STATUS[error.fault],
        code=f"backend_{error.fault.value}",
        retry_after_s=wait_s,
    )


def of_rejection(rejection: Rejection) -> ApiError:
    """The answer to a request that the router does not take."""
    return ApiError(
        _sentence(rejection.message),
        status=rejection.status,
        code=rejection.code,
        param=rejection.param,
    )


def _sentence(message: str) -> str:
    text = message[:1].upper() + message[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
