"""What one key may spend: token buckets for requests and for tokens a minute.

A bucket holds at most one minute's allowance and fills at ``limit / 60`` a second, so that in any
window of ``t`` seconds no more than ``limit + limit * t / 60`` is admitted. Levels and times are
integers (microseconds; one unit is 1/60,000,000 of a token), because a promise made in floating
point is now and then broken by its last bit.

Prompt tokens are taken when a request is admitted. Completion tokens are known afterwards and
charged then; that may leave a bucket below zero, and the wait it then asks for is what refilling
really takes. A refused request takes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pilotage.serve.keys import ApiKey

Resource = Literal["requests", "tokens"]

_UNITS = 60_000_000  # a bucket fills by `limit` units a microsecond, `limit` whole ones a minute
_NO_WAIT: tuple[float, Resource] = (0, "requests")


@dataclass(frozen=True, slots=True)
class Allowance:
    """How one of a key's limits stands.

    Attributes:
        limit: Whole ones a minute, which is also the most that can be spent at once.
        remaining: What could be spent now.
        reset_s: Seconds until the whole limit could be spent at once.
    """

    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How a key's limits stand; ``None`` where it has no such limit."""

    requests: Allowance | None = None
    tokens: Allowance | None = None

    def headers(self) -> dict[str, str]:
        """The ``x-ratelimit-*`` response headers, as OpenAI sends them (``reset`` as ``6m0s``)."""
        headers: dict[str, str] = {}
        for resource, allowance in (("requests", self.requests), ("tokens", self.tokens)):
            if allowance is not None:
                headers[f"x-ratelimit-limit-{resource}"] = str(allowance.limit)
                headers[f"x-ratelimit-remaining-{resource}"] = str(allowance.remaining)
                headers[f"x-ratelimit-reset-{resource}"] = _duration(allowance.reset_s)
        return headers


@dataclass(frozen=True, slots=True)
class Allowed:
    """The request may go on, and has been charged for."""

    standing: Standing

    def headers(self) -> dict[str, str]:
        """The response headers that tell how the key's limits stand."""
        return self.standing.headers()


@dataclass(frozen=True, slots=True)
class Limited:
    """The request may not go on now, and has cost nothing.

    Attributes:
        retry_after_s: Seconds after which this request is admitted if the key spends nothing
            else meanwhile; ``None`` if its prompt is larger than a minute's tokens, and it never
            will be.
        which: The limit that stands in the way longest.
        standing: How the key's limits stand.
    """

    retry_after_s: float | None
    which: Resource
    standing: Standing

    def headers(self) -> dict[str, str]:
        """The response headers: the standing, and ``retry-after`` in whole seconds, rounded up."""
        headers = self.standing.headers()
        if self.retry_after_s is not None:
            headers["retry-after"] = str(math.ceil(self.retry_after_s))
        return headers


class _Bucket:
    """A level in units that fills at ``limit`` units a microsecond up to ``limit`` whole ones."""

    __slots__ = ("_at", "_level", "_limit")

    def __init__(self, limit: int, at: int) -> None:
        self._limit = limit
        self._level = limit * _UNITS
        self._at = at

    def settle(self, limit: int, at: int) -> None:
        """Fill up to the time ``at`` (microseconds); a limit that was edited holds from here."""
        passed = max(0, at - self._at)
        self._at += passed
        self._level = min(self._level + passed * self._limit, limit * _UNITS)
        self._limit = limit

    def wait_for(self, amount: int) -> int | None:
        """Microseconds until ``amount`` could be taken; ``None`` if it never can."""
        if amount > self._limit:
            return None
        missing = amount * _UNITS - self._level
        return max(0, -(-missing // self._limit))

    def take(self, amount: int) -> None:
        self._level -= amount * _UNITS

    def charge(self, amount: int, at: int) -> None:
        self.settle(self._limit, at)
        self.take(amount)

    def allowance(self) -> Allowance:
        reset = self.wait_for(self._limit)
        return Allowance(self._limit, max(0, self._level // _UNITS), (reset or 0) / 1e6)


class RateLimiter:
    """The buckets of all keys that have limits, by key id.

    Not thread-safe: one event loop calls it. Times are seconds of one clock that does not run
    backwards, ``time.monotonic`` for one.
    """

    def __init__(self) -> None:
        self._requests: dict[str, _Bucket] = {}
        self._tokens: dict[str, _Bucket] = {}

    def check(self, key: ApiKey, prompt_tokens: int, now: float) -> Allowed | Limited:
        """Admit one request of ``prompt_tokens`` and charge for it, or say when it could be."""
        if prompt_tokens < 0:
            raise ValueError(f"prompt_tokens is {prompt_tokens}")
        requests, tokens = self._settled(key, now)
        waits: list[tuple[float, Resource]] = []
        asked: list[tuple[_Bucket | None, int, Resource]] = [
            (requests, 1, "requests"),
            (tokens, prompt_tokens, "tokens"),
        ]
        for bucket, amount, resource in asked:
            if bucket is not None:
                wait = bucket.wait_for(amount)
                waits.append((math.inf if wait is None else wait, resource))
        longest, which = max(waits, key=lambda wait: wait[0], default=_NO_WAIT)
        if longest == 0:
            for bucket, amount, _ in asked:
                if bucket is not None:
                    bucket.take(amount)
            return Allowed(_standing(requests, tokens))
        # One microsecond more: now and the retry are each rounded to one.
        retry_after_s = None if longest == math.inf else (longest + 1) / 1e6
        return Limited(retry_after_s, which, _standing(requests, tokens))

    def charge(self, key_id: str, tokens: int, now: float) -> None:
        """Take completion tokens after the fact; nothing happens for a key without a limit."""
        if tokens < 0:
            raise ValueError(f"tokens is {tokens}")
        bucket = self._tokens.get(key_id)
        if bucket is not None:
            bucket.charge(tokens, _microseconds(now))

    def standing(self, key: ApiKey, now: float) -> Standing:
        """How the key's limits stand, for the headers of a response."""
        return _standing(*self._settled(key, now))

    def _settled(self, key: ApiKey, now: float) -> tuple[_Bucket | None, _Bucket | None]:
        at = _microseconds(now)
        return (
            _settled(self._requests, key.id, key.limits.requests_per_minute, at),
            _settled(self._tokens, key.id, key.limits.tokens_per_minute, at),
        )


def _settled(
    buckets: dict[str, _Bucket], key_id: str, limit: int | None, at: int
) -> _Bucket | None:
    if limit is None:
        buckets.pop(key_id, None)
        return None
    bucket = buckets.get(key_id)
    if bucket is None:
        bucket = buckets[key_id] = _Bucket(limit, at)
    else:
        bucket.settle(limit, at)
    return bucket


def _standing(requests: _Bucket | None, tokens: _Bucket | None) -> Standing:
    return Standing(
        requests.allowance() if requests else None,
        tokens.allowance() if tokens else None,
    )


def _microseconds(now: float) -> int:
    return round(now * 1e6)


def _duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: ``17ms``, ``1.5s``, ``6m0s``; rounded up."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"
