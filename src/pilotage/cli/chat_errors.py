"""What can go wrong in a chat, and what a server's refusal means to the person at the keyboard."""

from __future__ import annotations

import email.utils
import math
import re
from datetime import UTC, datetime
from typing import Any

import httpx

from pilotage.errors import PilotageError

_CONTEXT_EXCEEDED = re.compile(r"context.{0,20}(length|window|size)|maximum context", re.I)
_NOT_PRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MAX_SAID_CHARS = 300


class ChatError(PilotageError):
    """The server could not be reached, refused the request, or broke off its answer."""


class BusyError(ChatError):
    """The server cannot take the request now; ``retry_after_s`` is its word on when, if any."""

    def __init__(self, said: str, *, where: str, retry_after_s: float | None) -> None:
        later = "later" if retry_after_s is None else f"in {retry_after_s:.3g} s"
        super().__init__(
            f"the server cannot take this now ({said})", where=where, hint=f"Try again {later}."
        )
        self.retry_after_s = retry_after_s


class ContextExceededError(ChatError):
    """The conversation has more tokens than the model's context."""


def not_a_server(where: str) -> ChatError:
    """The error for an answer that no OpenAI-compatible server gives."""
    return ChatError(
        "what answers there does not speak the OpenAI API", where=where, hint="Check the address."
    )


def no_such_model(model: str, models: list[str], where: str) -> ChatError:
    """The error for a model that the server does not have, with those it has."""
    return ChatError(
        f"the server has no model {model!r}",
        where=where,
        hint=f"It has {', '.join(models) or 'none'}; choose one with --model.",
    )


def unauthorized(status: int, where: str, *, key_name: str, has_key: bool) -> ChatError:
    """The error for a key that is missing or refused; names the variable, never the key."""
    if has_key:
        return ChatError(
            f"the server refused the API key in {key_name} ({status})",
            where=where,
            hint="Is it revoked, or for another server?",
        )
    return ChatError(
        f"the server wants an API key ({status})",
        where=where,
        hint=f"Put yours into the environment variable {key_name}.",
    )


def refused(response: httpx.Response, where: str) -> ChatError:
    """The error for any other status than 200, with what the server said."""
    try:
        body = response.json()
    except ValueError:
        body = response.reason_phrase
    status = response.status_code
    answer = f"{status}: {said(body)}"
    if status in {429, 503}:
        retry_after_s = _retry_after(response.headers.get("retry-after"))
        return BusyError(answer, where=where, retry_after_s=retry_after_s)
    exceeded = status in {400, 413} and _is_context_exceeded(body)
    kind = ContextExceededError if exceeded else ChatError
    return kind(f"the server refused ({answer})", where=where)


def said(body: Any) -> str:
    """The message in an error body, in one printable line of at most 300 characters."""
    error = (body.get("error") or body.get("detail") or body) if isinstance(body, dict) else body
    message = error.get("message") if isinstance(error, dict) else error
    line = " ".join(printable(str(message)).split()).rstrip(".")
    return line if len(line) <= _MAX_SAID_CHARS else f"{line[: _MAX_SAID_CHARS - 3]}..."


def printable(text: str) -> str:
    """The text without what would steer a terminal: control characters but newline and tab."""
    return _NOT_PRINTABLE.sub("", text)


def _is_context_exceeded(body: Any) -> bool:
    error = body.get("error") if isinstance(body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code == "context_length_exceeded" or bool(_CONTEXT_EXCEEDED.search(said(body)))


def _retry_after(value: str | None) -> float | None:
    """Seconds from a ``Retry-After`` header: a number or an HTTP date."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (at.astimezone(UTC) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
