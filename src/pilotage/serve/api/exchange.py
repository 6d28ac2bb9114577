"""One request and its answer, as far as they have got."""

from __future__ import annotations

import random
import re
import secrets
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from pilotage.serve.keys import ApiKey
from pilotage.serve.telemetry.request_record import Operation, RequestRecord
from pilotage.serve.telemetry.tracing import RequestSpan

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@=+/-]{0,127}")
# Ids are for logs; nobody is kept out by not knowing one, so that the system need not be asked.
_ids = random.Random(secrets.randbits(128))  # noqa: S311
_SCOPE_KEY = "pilotage.exchange"


@dataclass(slots=True)
class Exchange:
    """What is being learnt about a request while it is answered; its log record is made of it.

    Attributes:
        request_id: The client's ``X-Request-Id`` if it is fit to be logged, else a new one.
        endpoint: The route's template, never the path as it came.
        arrived: When, on `time.monotonic`'s clock.
        key: The API key that was presented.
        worker: The worker that its path names; ``path_model`` the model that it names.
        completion_tokens: Tokens generated so far, all choices together.
        longest: Tokens of the longest choice.
        queue_s: Longest wait of its choices for a worker, seconds, once one has been taken.
        first_token_at: When the first token came; ``last_token_at`` the latest.
        span: Its span, once it is known what is to be generated.
        headers: Response headers to add, lower-case names.
    """

    request_id: str
    endpoint: str
    arrived: float = field(default_factory=time.monotonic)
    key: ApiKey | None = None
    worker: int | None = None
    path_model: str | None = None
    model: str = ""
    operation: Operation | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    longest: int = 0
    queue_s: float | None = None
    first_token_at: float | None = None
    last_token_at: float | None = None
    finish_reason: str | None = None
    reason: str | None = None
    status: int | None = None
    span: RequestSpan | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(scope: MutableMapping[str, Any]) -> Exchange:
        """The exchange that a request's ASGI scope belongs to."""
        exchange: Exchange = scope[_SCOPE_KEY]
        return exchange

    def attach(self, scope: MutableMapping[str, Any]) -> None:
        """Make this the exchange of an ASGI scope."""
        scope[_SCOPE_KEY] = self

    def record(self) -> RequestRecord:
        """What is known of the request now that it is over."""
        ttft_s = tpot_s = None
        if self.first_token_at is not None and self.last_token_at is not None:
            ttft_s = self.first_token_at - self.arrived
            if self.longest > 1:
                tpot_s = (self.last_token_at - self.first_token_at) / (self.longest - 1)
        return RequestRecord(
            endpoint=self.endpoint,
            status=499 if self.status is None else self.status,
            duration_s=time.monotonic() - self.arrived,
            model=self.model,
            operation=self.operation,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            queue_s=self.queue_s,
            ttft_s=ttft_s,
            tpot_s=tpot_s,
            reason=self.reason,
        )


def request_id_of(presented: str | None) -> str:
    """The id that a client presented, or a new one if it presented none fit for a log."""
    if presented is not None and _REQUEST_ID.fullmatch(presented):
        return presented
    return f"req_{_ids.getrandbits(128):032x}"


def header(scope: MutableMapping[str, Any], name: bytes) -> str | None:
    """The first header of that name (in lower case) in an ASGI scope."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None
