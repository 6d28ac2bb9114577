"""What is known of a request once it has been answered; metrics, logs and spans are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Operation = Literal["chat", "text_completion", "embeddings", "predict"]
"""What a generation does, in the words of OpenTelemetry's ``gen_ai.operation.name``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One finished request.

    Attributes:
        endpoint: The route's template, such as "/v1/models/{model}"; never the path as it came.
        status: The HTTP status that was sent; 499 when the client left before there was one.
        duration_s: From the request's arrival to its last byte, seconds.
        model: The served model that answered; empty when the request concerns none.
        operation: What was generated; ``None`` for a request that is not for a generation, such
            as a list of models.
        prompt_tokens: Prompt tokens that an engine took; 0 if the request did not reach one.
        completion_tokens: Tokens that were generated, all choices together.
        queue_s: From admission until a worker took it, for the choice that waited longest,
            seconds; ``None`` if no worker did.
        ttft_s: From the request's arrival to its first token (time to first token), seconds.
        tpot_s: Mean time between the tokens after the first (time per output token), seconds.
        reason: Machine-readable code of what went wrong, such as "overloaded"; ``None`` when
            nothing did. One of a fixed set: it becomes a label.
    """

    endpoint: str
    status: int
    duration_s: float
    model: str = ""
    operation: Operation | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    queue_s: float | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None
    reason: str | None = None
