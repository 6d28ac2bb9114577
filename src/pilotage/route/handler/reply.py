"""What the function answers, in the form that the caller's kind of event needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from pilotage.route.handler.event import LAMBDA_PAYLOAD, EventKind
from pilotage.route.handler.refusal import Refusal

_MARGIN: Final = 4096
"""Bytes left free for what stands around the body; the runtime's own JSON differs a little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer before it has a form.

    Attributes:
        body: What is answered.
        events: The same as the text of a stream's events, where the client asked for those.
        status: HTTP status.
        headers: With names in lower case.
    """

    body: dict[str, Any]
    events: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(refusal: Refusal) -> Reply:
        """A refusal's reply."""
        return Reply(status=refusal.status, body=refusal.body(), headers=refusal.headers)


def in_form(reply: Reply, kind: EventKind) -> dict[str, Any]:
    """The reply as the caller's kind of event needs it.

    For API Gateway and function URLs an object with status, headers and body; for a direct
    invocation the body's object itself, in which an error holds its status.

    An answer that is too large for Lambda becomes an error: Lambda would answer with one of its
    own that says nothing, after everything was paid, and a cut answer would pass for a whole one.
    """
    formed = _formed(reply, kind)
    if _too_large(formed):
        refusal = Refusal(
            f"The answer is larger than the {LAMBDA_PAYLOAD} bytes that Lambda can return. Ask for "
            "a shorter one: lower max_tokens, or send fewer texts at once.",
            status=502,
            code="answer_too_large",
        )
        account = {name: reply.body[name] for name in ("pilotage",) if name in reply.body}
        body = {**refusal.body(), **account}
        formed = _formed(Reply(status=refusal.status, body=body, headers=reply.headers), kind)
    return formed


def _formed(reply: Reply, kind: EventKind) -> dict[str, Any]:
    if kind is EventKind.DIRECT:
        if "error" not in reply.body:
            return reply.body
        return {**reply.body, "error": {**reply.body["error"], "status": reply.status}}
    events = reply.events
    return {
        "statusCode": reply.status,
        "headers": {
            "content-type": "application/json" if events is None else "text/event-stream",
            **reply.headers,
        },
        "body": msgspec.json.encode(reply.body).decode() if events is None else events,
        "isBase64Encoded": False,
    }


def _too_large(formed: dict[str, Any]) -> bool:
    most = LAMBDA_PAYLOAD - _MARGIN
    body = formed.get("body")
    # A character takes at most twelve bytes (two escapes of a pair of surrogates).
    if isinstance(body, str) and len(body) * 12 < most:
        return False
    # The runtime writes JSON in ASCII on Python 3.11, and in UTF-8 later: the longer one counts.
    return len(json.dumps(formed)) > most
