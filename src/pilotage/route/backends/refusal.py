"""What an HTTP answer that is no answer means."""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from pilotage.route.backends.backend import BackendError, Fault

MAX_REFUSAL: Final = 64 << 10
"""Bytes of an error's body that are read."""

_MAX_DETAIL: Final = 500
_LONGEST_WAIT_S: Final = 86_400.0
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_NOT_PRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_FAULTS: Final = {
    401: Fault.DENIED,
    402: Fault.DENIED,
    403: Fault.DENIED,
    404: Fault.DENIED,
    405: Fault.DENIED,
    407: Fault.DENIED,
    408: Fault.OVERLOADED,  # it waited for the request too long
    409: Fault.OVERLOADED,
    425: Fault.OVERLOADED,
    429: Fault.RATE_LIMITED,
    503: Fault.OVERLOADED,
    504: Fault.TIMEOUT,  # what stands behind it may be working still
    529: Fault.OVERLOADED,
}
_WORDS: Final = {
    Fault.DENIED: "does not let us in",
    Fault.RATE_LIMITED: "says that it is asked too often",
    Fault.OVERLOADED: "is overloaded",
    Fault.TIMEOUT: "gave up waiting",
    Fault.FAILED: "failed",
    Fault.REFUSED: "refused the request",
    Fault.GARBAGE: "answered with a status that means nothing here",
}
_NO_MONEY: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


def fault_of(status: int, code: str | None = None) -> Fault:
    """What a status other than 200 means.

    Args:
        status: Of HTTP.
        code: The error's code, where there is one: OpenAI answers 429 also to those whose money
            is spent, which no waiting mends.
    """
    if code in _NO_MONEY:
        return Fault.DENIED
    if status in _FAULTS:
        return _FAULTS[status]
    if status >= 500:
        return Fault.FAILED
    if status >= 400:
        return Fault.REFUSED
    return Fault.DENIED if status >= 300 else Fault.GARBAGE


def refusal(status: int, headers: Mapping[bytes, bytes], body: bytes) -> BackendError:
    """The error that an answer other than 200 stands for."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = None
    error = said.get("error", said) if isinstance(said, Mapping) else None
    return _error(status, error, retry_after_s=retry_after_s(headers))


def error_event(error: Any) -> BackendError:
    """The error that an event of a stream stands for."""
    said = error if isinstance(error, Mapping) else {"message": error}
    status = next(
        (
            value
            for value in (said.get("status"), said.get("code"))
            if isinstance(value, int) and 400 <= value <= 599
        ),
        500,
    )
    return _error(status, said)


def _error(status: int, said: Any, *, retry_after_s: float | None = None) -> BackendError:
    code = detail = None
    if isinstance(said, Mapping):
        code = next(
            (
                value
                for value in (said.get("code"), said.get("type"))
                if isinstance(value, str) and _CODE.fullmatch(value)
            ),
            None,
        )
        detail = said.get("message") or said.get("detail")
    elif isinstance(said, str):
        detail = said
    fault = fault_of(status, code)
    message = f"the backend {_WORDS[fault]} ({status}{f', {code}' if code else ''})"
    if 300 <= status < 400:
        message = f"the backend's address redirects ({status}), which is not followed"
    # What it says of a request that is refused is the client's business, and may quote it. What
    # it says of anything else may quote our key.
    shown = detail if fault is Fault.REFUSED and isinstance(detail, str) else None
    return BackendError(
        fault,
        message,
        status=status,
        retry_after_s=retry_after_s,
        detail=_line(shown) if shown else None,
    )


def retry_after_s(headers: Mapping[bytes, bytes]) -> float | None:
    """Seconds that the answer asks us to wait; None if it does not, or not in earnest."""
    value = headers.get(b"retry-after-ms")
    if value is not None and (seconds := _seconds(value, 1e-3)) is not None:
        return seconds
    value = headers.get(b"retry-after")
    return None if value is None else _seconds(value, 1.0)


def _seconds(value: bytes, scale: float) -> float | None:
    text = value.decode("latin-1").strip()
    try:
        seconds = float(text) * scale
    except ValueError:
        try:
            at = email.utils.parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        seconds = (at - datetime.fromtimestamp(time.time(), UTC)).total_seconds()
    return min(_LONGEST_WAIT_S, max(0.0, seconds)) if math.isfinite(seconds) else None


def _line(text: str) -> str:
    line = " ".join(_NOT_PRINTABLE.sub(" ", text).split())
    return line if len(line) <= _MAX_DETAIL else f"{line[: _MAX_DETAIL - 1]}…"
