"""One row of the ledger: an attempt, what it was for, what it used and what it cost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

import msgspec

from pilotage.route.answer import Usage


class Role(StrEnum):
    """What an attempt was for."""

    ANSWER = "answer"
    """Its text went to the client."""
    DRAFT = "draft"
    """An answer that was not good enough, and was escalated or thrown away."""
    CLASSIFIER = "classifier"
    JUDGE = "judge"
    SAMPLE = "sample"
    """A second answer, drawn to see whether the two agree."""
    SHADOW = "shadow"
    """The best tier's answer to a request that another tier answered, for comparison."""
    AUDIT = "audit"
    """A judgement after the fact of an answer that was accepted."""


class Outcome(StrEnum):
    """How an attempt ended."""

    OK = "ok"
    CANCELLED = "cancelled"
    """By us or the client; what was generated until then is billed."""
    ERROR = "error"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that is over.

    Attributes:
        id: Unique; a ledger that is told twice keeps one row.
        request_id: All attempts of a request share it.
        at: When it began, Unix seconds.
        key_id: The API key that pays; None on an open server.
        role: What it was for.
        tier: The tier's name; backend which of its backends.
        backend: Such as "small/0".
        asked_model: What the backend was asked for.
        served_model: What it said it was; the asked one where it said nothing.
        usage: Tokens by class.
        cost: US dollars, exact.
        latency_s: From its beginning to its end.
        ttft_s: To its first token; None if none came.
        outcome: How it ended.
        fault: What went wrong, in `Fault`'s words; None when nothing did.
        decision: Why it was made and what came of it: "accepted", "escalated: judge 0.62 < 0.85".
        scores: Of estimators and verifiers, by their names, from 0 to 1.
    """

    id: str
    request_id: str
    at: float
    key_id: str | None
    role: Role
    tier: str
    backend: str
    asked_model: str
    served_model: str
    usage: Usage
    cost: Decimal
    latency_s: float
    ttft_s: float | None
    outcome: Outcome
    fault: str | None = None
    decision: str = ""
    scores: Mapping[str, float] = msgspec.field(default_factory=dict)


class AttemptSink(Protocol):
    """Where attempts go: the ledger, metrics, a test's list."""

    def record(self, attempt: Attempt) -> None:
        """Take an attempt; returns at once and never raises."""
        ...


def now() -> float:
    """Unix seconds: `Attempt.at`."""
    return time.time()
