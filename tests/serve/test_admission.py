"""Admission is arithmetic: properties over any load, and the cases that a person can check."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from pilotage.serve.admission import MARGIN, CompletionLengths, Verdict, WorkerLoad, assess


def load(**changes: object) -> WorkerLoad:
    fields: dict[str, object] = {
        "free_slots": 4,
        "remaining_tokens": [],
        "prefill_backlog": 0,
        "prefill_tokens_per_s": 1000.0,
        "step_s": 0.05,
        "batched_tokens": 512,
    }
    return WorkerLoad(**{**fields, **changes})  # type: ignore[arg-type]


def verdict(*workers: WorkerLoad, queued: int = 0, tokens: int = 0, new: int = 100) -> Verdict:
    return assess(
        workers,
        queued_requests=queued,
        queued_tokens=tokens,
        new_requests=1,
        new_tokens=new,
        ttft_target_s=1.0,
    )


loads = st.builds(
    WorkerLoad,
    free_slots=st.integers(0, 64),
    remaining_tokens=st.lists(st.integers(1, 4000), max_size=64),
    prefill_backlog=st.integers(0, 100_000),
    prefill_tokens_per_s=st.floats(1.0, 1e6),
    step_s=st.floats(0.0, 2.0),
    batched_tokens=st.integers(1, 8192),
)


def test_an_idle_server_takes_any_prompt_even_one_that_misses_the_target() -> None:
    answer = verdict(load(), new=100_000)
    assert answer.admitted
    assert answer.ttft_s > 100


def test_the_queue_is_bounded_by_target_times_prefill_rate() -> None:
    busy = load(remaining_tokens=[50], prefill_backlog=200)
    assert verdict(busy, new=100).admitted
    refused = verdict(busy, queued=3, tokens=800, new=100)
    assert not refused.admitted
    # 200 + 800 tokens ahead and 100 of its own at 1,000 a second, and four steps of 50 ms.
    assert math.isclose(refused.ttft_s, 1.1 + 4 * 0.05)


def test_full_slots_are_waited_for_by_the_tokens_that_running_requests_still_bring() -> None:
    soon = verdict(load(free_slots=0, remaining_tokens=[2, 500]), new=10)
    late = verdict(load(free_slots=0, remaining_tokens=[400, 500]), new=10)
    assert soon.admitted
    assert not late.admitted
    assert math.isclose(late.ttft_s, 400 * 0.05 + 0.01 + 2 * 0.05)
    assert math.isclose(late.retry_after_s, late.ttft_s - MARGIN + 0.05)


@given(st.lists(loads, min_size=1, max_size=4), st.integers(0, 50), st.integers(0, 10**6))
def test_a_refusal_says_when_the_same_request_would_be_taken(
    workers: list[WorkerLoad], queued: int, tokens: int
) -> None:
    answer = verdict(*workers, queued=queued, tokens=tokens)
    assert math.isfinite(answer.ttft_s)
    if answer.admitted:
        assert answer.retry_after_s == 0
    else:
        assert answer.retry_after_s >= answer.ttft_s - MARGIN


@given(st.lists(loads, min_size=1, max_size=4), st.integers(0, 50), st.integers(0, 10**5))
def test_more_ahead_never_means_an_earlier_first_token(
    workers: list[WorkerLoad], queued: int, tokens: int
) -> None:
    before = verdict(*workers, queued=queued, tokens=tokens)
    after = verdict(*workers, queued=queued + 1, tokens=tokens + 10)
    assert after.ttft_s >= before.ttft_s


@given(st.lists(st.integers(1, 5000), max_size=600), st.integers(0, 5000), st.integers(1, 5000))
def test_what_remains_is_at_least_one_token_and_within_the_allowance(
    ended: list[int], generated: int, max_tokens: int
) -> None:
    lengths = CompletionLengths()
    for tokens in ended:
        lengths.ended(tokens)
    remaining = lengths.remaining(generated, max_tokens)
    assert 1 <= remaining <= max(1, max_tokens - generated)


def test_lengths_are_learned_and_the_old_ones_forgotten() -> None:
    lengths = CompletionLengths()
    assert lengths.remaining(0, 4096) == 4096
    for _ in range(300):
        lengths.ended(2000)
    for _ in range(256):
        lengths.ended(100)
    assert lengths.remaining(0, 4096) == 100
    assert lengths.remaining(90, 4096) == 10
    assert lengths.remaining(150, 4096) == 3946  # it outlived them: who knows
