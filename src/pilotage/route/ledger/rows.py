"""An attempt as the database holds it: every value one that any database takes."""

from __future__ import annotations

import hashlib
import math
from decimal import Decimal
from typing import Final

import msgspec

from pilotage.route.attempt import Attempt
from pilotage.route.ledger.calendar import day_of
from pilotage.route.ledger.money import atto_of, dollars_of

MAX_COUNT: Final = 10**12
"""The most tokens of a class that one attempt is taken to have used."""

_MAX_NAME_CHARS: Final = 200
_MAX_TEXT_CHARS: Final = 2000
_LATEST: Final = 250_000_000_000.0  # Unix seconds within datetime's years


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One row, its fields in the order of the table's columns; `Attempt` says what they mean.

    Attributes:
        day: UTC day of ``at``, in days since 1970.
        cost: A multiple of 10^-18.
        scores: A JSON object.
    """

    id: str
    request_id: str
    at: float
    day: int
    key_id: str | None
    role: str
    tier: str
    backend: str
    asked_model: str
    served_model: str
    prompt_tokens: int
    completion_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    images: int
    estimated: bool
    cost: Decimal
    latency_s: float
    ttft_s: float | None
    outcome: str
    fault: str | None
    decision: str
    scores: str


def row_of(attempt: Attempt) -> Row:
    """The row of an attempt.

    What providers and clients say ends up here. So that none of it can stop the rows around it,
    NUL and lone surrogates are replaced, a name of more than 200 characters is cut and told apart
    by its hash, counts are held within 0 to 10^12 and times are finite.
    """
    at = min(max(0.0, attempt.at), _LATEST) if math.isfinite(attempt.at) else 0.0
    usage = attempt.usage
    return Row(
        id=name_of(attempt.id),
        request_id=name_of(attempt.request_id),
        at=at,
        day=day_of(at),
        key_id=None if attempt.key_id is None else name_of(attempt.key_id),
        role=str(attempt.role),
        tier=name_of(attempt.tier),
        backend=name_of(attempt.backend),
        asked_model=_text(attempt.asked_model),
        served_model=_text(attempt.served_model),
        prompt_tokens=_count(usage.prompt_tokens),
        completion_tokens=_count(usage.completion_tokens),
        cache_read_tokens=_count(usage.cache_read_tokens),
        cache_write_tokens=_count(usage.cache_write_tokens),
        images=_count(usage.images),
        estimated=bool(usage.estimated),
        cost=dollars_of(atto_of(attempt.cost)),
        latency_s=_seconds(attempt.latency_s),
        ttft_s=None if attempt.ttft_s is None else _seconds(attempt.ttft_s),
        outcome=str(attempt.outcome),
        fault=None if attempt.fault is None else _text(attempt.fault),
        decision=_text(attempt.decision),
        scores=_scores(attempt),
    )


def name_of(name: str) -> str:
    """A name as rows have it."""
    text = _clean(name)
    if len(text) <= _MAX_NAME_CHARS:
        return text
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{text[: _MAX_NAME_CHARS - 33]}#{digest}"


def _text(text: str) -> str:
    return _clean(text)[:_MAX_TEXT_CHARS]


def _clean(text: str) -> str:
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _count(count: int) -> int:
    return max(0, min(MAX_COUNT, int(count)))


def _seconds(seconds: float) -> float:
    return max(0.0, float(seconds)) if math.isfinite(seconds) else 0.0


def _scores(attempt: Attempt) -> str:
    known = {
        name_of(name): float(score)
        for name, score in attempt.scores.items()
        if math.isfinite(score)
    }
    return msgspec.json.encode(known).decode() if known else "{}"
