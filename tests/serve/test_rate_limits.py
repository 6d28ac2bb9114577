"""The buckets against exact arithmetic, and their two promises under any schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pilotage.serve.keys import ApiKey, KeyLimits
from pilotage.serve.rate_limits import Allowed, Limited, RateLimiter, _duration

TICK = 1e-6


def key(requests: int | None = None, tokens: int | None = None, key_id: str = "aaaaaaaa") -> ApiKey:
    limits = KeyLimits(requests_per_minute=requests, tokens_per_minute=tokens)
    return ApiKey(id=key_id, name="k", created=datetime(2026, 1, 1, tzinfo=UTC), limits=limits)


class Promises(RuleBasedStateMachine):
    """One key against the definition: in every window, at most capacity + rate x time."""

    @initialize(
        requests=st.integers(1, 200),
        tokens=st.integers(1, 100_000),
        start=st.floats(0, 1e8),
    )
    def begin(self, requests: int, tokens: int, start: float) -> None:
        self.key = key(requests, tokens)
        self.limiter = RateLimiter()
        self.now = start
        self.admitted: list[tuple[float, int]] = []
        self.spent: list[tuple[float, int]] = []
        self.promise: tuple[float, int] | None = None

    @rule(seconds=st.floats(0, 90))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(prompt=st.integers(0, 2_000))
    def ask(self, prompt: int) -> None:
        self.promise = None
        answer = self.limiter.check(self.key, prompt, self.now)
        if isinstance(answer, Allowed):
            self._admit(prompt)
        elif answer.retry_after_s is None:
            assert prompt > (self.key.limits.tokens_per_minute or 0)
            assert answer.which == "tokens"
        else:
            assert answer.retry_after_s > 0
            self.promise = (self.now + answer.retry_after_s, prompt)

    @rule(tokens=st.integers(0, 5_000))
    def completion_is_charged(self, tokens: int) -> None:
        self.promise = None
        self.limiter.charge(self.key.id, tokens, self.now)
        if self.admitted:  # before the first request there is no bucket to charge
            self.spent.append((self.now, tokens))

    @precondition(lambda self: getattr(self, "promise", None) is not None)
    @rule()
    def retry_exactly_then(self) -> None:
        assert self.promise is not None
        due, prompt = self.promise
        self.promise = None
        early = due - 4 * TICK
        if early > self.now:
            assert isinstance(self.limiter.check(self.key, prompt, early), Limited)
        self.now = max(self.now, due)
        assert isinstance(self.limiter.check(self.key, prompt, self.now), Allowed)
        self._admit(prompt)

    def _admit(self, prompt: int) -> None:
        self.admitted.append((self.now, prompt))
        self.spent.append((self.now, prompt))
        requests = self.key.limits.requests_per_minute or 0
        tokens = self.key.limits.tokens_per_minute or 0
        for begin in range(len(self.admitted)):
            elapsed = self.now - self.admitted[begin][0] + 2 * TICK
            assert len(self.admitted) - begin <= requests * (1 + elapsed / 60) + 1e-6
        for begin, (at, _) in enumerate(self.spent):
            window = sum(amount for _, amount in self.spent[begin:])
            elapsed = self.now - at + 2 * TICK
            assert window <= tokens * (1 + elapsed / 60) + 1e-3


TestPromises = Promises.TestCase
TestPromises.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@given(
    limit=st.integers(1, 10**9),
    asks=st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 10**9)), max_size=30),
)
@settings(max_examples=100, deadline=None)
def test_the_wait_is_what_exact_arithmetic_says(limit: int, asks: list[tuple[int, int]]) -> None:
    limiter, who = RateLimiter(), key(tokens=limit)
    level, now_us = Fraction(limit), 0
    for passed_us, amount in asks:
        now_us += passed_us
        level = min(Fraction(limit), level + Fraction(limit * passed_us, 60_000_000))
        answer = limiter.check(who, amount, now_us / 1e6)
        if amount > limit:
            assert isinstance(answer, Limited)
            assert answer.retry_after_s is None
        elif amount <= level:
            assert isinstance(answer, Allowed)
            level -= amount
        else:
            assert isinstance(answer, Limited)
            assert answer.retry_after_s is not None
            exact = (amount - level) * 60 / limit
            assert 0 <= answer.retry_after_s - exact <= 2.001e-6


def test_completion_tokens_push_the_bucket_below_zero_and_the_wait_is_true() -> None:
    limiter, who = RateLimiter(), key(tokens=600)  # 10 tokens a second
    assert isinstance(limiter.check(who, 100, 0.0), Allowed)
    limiter.charge(who.id, 800, 0.0)
    answer = limiter.check(who, 50, 0.0)
    assert isinstance(answer, Limited)
    assert answer.retry_after_s == pytest.approx(35.0, abs=1e-5)  # 300 below zero, 50 above it
    assert answer.headers()["retry-after"] == "36"
    assert answer.headers()["x-ratelimit-remaining-tokens"] == "0"


def test_the_limit_that_binds_longest_is_named_and_nothing_is_taken() -> None:
    limiter, who = RateLimiter(), key(requests=1, tokens=60)
    assert isinstance(limiter.check(who, 60, 0.0), Allowed)
    both = limiter.check(who, 1, 0.0)
    assert isinstance(both, Limited)
    assert both.which == "requests"
    assert both.retry_after_s == pytest.approx(60.0, abs=1e-5)
    for _ in range(50):  # refusals do not push the moment away
        limiter.check(who, 1, 30.0)
    assert isinstance(limiter.check(who, 1, 60.000002), Allowed)


def test_headers_are_those_of_openai() -> None:
    limiter, who = RateLimiter(), key(requests=60, tokens=6_000)
    answer = limiter.check(who, 1_500, 0.0)
    assert answer.headers() == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "4500",
        "x-ratelimit-reset-tokens": "15s",
    }
    assert limiter.standing(who, 15.0).headers()["x-ratelimit-remaining-tokens"] == "6000"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.0171, "18ms"), (1, "1s"), (1.5, "1.5s"), (60, "1m0s"), (90.25, "1m30.25s")],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert _duration(seconds) == text


def test_a_prompt_larger_than_a_minute_is_never_possible() -> None:
    answer = RateLimiter().check(key(tokens=100), 101, 0.0)
    assert isinstance(answer, Limited)
    assert answer.retry_after_s is None
    assert answer.which == "tokens"
    assert "retry-after" not in answer.headers()


def test_a_key_without_limits_is_never_limited_and_not_remembered() -> None:
    limiter, who = RateLimiter(), key()
    for _ in range(1000):
        answer = limiter.check(who, 10**9, 0.0)
        assert isinstance(answer, Allowed)
        assert answer.headers() == {}
        limiter.charge(who.id, 10**9, 0.0)
    assert not limiter._requests
    assert not limiter._tokens


def test_keys_do_not_share_buckets() -> None:
    limiter = RateLimiter()
    assert isinstance(limiter.check(key(requests=1), 0, 0.0), Allowed)
    assert isinstance(limiter.check(key(requests=1), 0, 0.0), Limited)
    assert isinstance(limiter.check(key(requests=1, key_id="bbbbbbbb"), 0, 0.0), Allowed)


def test_a_limit_that_is_edited_holds_at_once() -> None:
    limiter = RateLimiter()
    assert isinstance(limiter.check(key(tokens=10_000), 0, 0.0), Allowed)
    lowered = limiter.check(key(tokens=100), 100, 0.0)
    assert isinstance(lowered, Allowed)
    assert isinstance(limiter.check(key(tokens=100), 1, 0.0), Limited)
    assert isinstance(limiter.check(key(), 10**6, 0.0), Allowed)


def test_a_clock_that_runs_backwards_changes_nothing() -> None:
    limiter, who = RateLimiter(), key(requests=60)
    for _ in range(59):
        assert isinstance(limiter.check(who, 0, 100.0), Allowed)
    assert isinstance(limiter.check(who, 0, 50.0), Allowed)  # nor does it take anything away
    assert isinstance(limiter.check(who, 0, 50.0), Limited)
    assert isinstance(limiter.check(who, 0, 100.0), Limited)
    assert isinstance(limiter.check(who, 0, 101.0), Allowed)


def test_negative_amounts_are_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        RateLimiter().check(key(tokens=1), -1, 0.0)
    with pytest.raises(ValueError, match="-1"):
        RateLimiter().charge("aaaaaaaa", -1, 0.0)
