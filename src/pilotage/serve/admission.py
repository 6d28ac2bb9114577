"""Admission: whether a request can still meet the TTFT target, and when to come back if not.

The queue is bounded in time, and so in tokens: a request is admitted while everything before it
and the request itself can be through prefill within the target, at the rate that is measured.
Two things are waited for. *Prefill*: all prompt tokens ahead, divided by the workers' prefill
rate. *Slots*: when every sequence slot is taken, a queued request also waits for running ones to
end, which is known from the tokens they still have to generate and the present step time.

Everything here is arithmetic on a snapshot: no clock, no I/O.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MARGIN: Final = 0.5
"""Share of the target that the prediction may fill; the rest is for what cannot be foreseen."""

_MINIMUM_RETRY_S: Final = 0.05
_REMEMBERED: Final = 256


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """One worker as admission sees it.

    Attributes:
        free_slots: Sequences it could start now.
        remaining_tokens: For each sequence it holds, tokens it will probably still generate.
        prefill_backlog: Prompt tokens it holds that are not through prefill.
        prefill_tokens_per_s: Its measured prefill rate.
        step_s: Seconds a decode step takes at present.
        batched_tokens: Tokens that one step may process.
    """

    free_slots: int
    remaining_tokens: Sequence[int]
    prefill_backlog: int
    prefill_tokens_per_s: float
    step_s: float
    batched_tokens: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What admission says.

    Attributes:
        admitted: Whether to take the request.
        ttft_s: The predicted time to its first token.
        retry_after_s: When refused, seconds after which the same prediction would admit it if
            nobody else came.
    """

    admitted: bool
    ttft_s: float
    retry_after_s: float


class CompletionLengths:
    """How long completions turn out, learned from those that ended."""

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=_REMEMBERED)
        self._sorted: list[int] = []

    def ended(self, tokens: int) -> None:
        """A completion ended after so many tokens."""
        if len(self._recent) == _REMEMBERED:
            self._sorted.remove(self._recent[0])
        self._recent.append(tokens)
        insort(self._sorted, tokens)

    def remaining(self, generated: int, max_tokens: int) -> int:
        """Tokens a running completion will probably still bring.

        The 90th percentile of recent lengths less what there is, at most what is allowed. One
        that has outlived that percentile is expected to use up its allowance.
        """
        allowed = max(1, max_tokens - generated)
        if not self._sorted:
            return allowed
        usual = self._sorted[min(len(self._sorted) - 1, (9 * len(self._sorted)) // 10)]
        return min(allowed, usual - generated) if usual > generated else allowed


def assess(
    workers: Sequence[WorkerLoad],
    *,
    queued_requests: int,
    queued_tokens: int,
    new_requests: int,
    new_tokens: int,
    ttft_target_s: float,
) -> Verdict:
    """Decide on `new_requests` sequences with `new_tokens` prompt tokens altogether.

    A request that finds nothing before it is always admitted: no later moment would be better.
    """
    ttft = predict_ttft(
        workers,
        queued_requests=queued_requests,
        queued_tokens=queued_tokens,
        new_requests=new_requests,
        new_tokens=new_tokens,
    )
    allowed = MARGIN * ttft_target_s
    alone = queued_requests == 0 and all(
        not load.prefill_backlog and not load.remaining_tokens for load in workers
    )
    if ttft <= allowed or alone:
        return Verdict(True, ttft, 0.0)
    # Queues and slots move when a step ends, not before: the one in hand is waited for too.
    step_in_hand = max(
        load.step_s + min(load.batched_tokens, load.prefill_backlog) / load.prefill_tokens_per_s
        for load in workers
    )
    return Verdict(False, ttft, max(_MINIMUM_RETRY_S, ttft - allowed + step_in_hand))


def predict_ttft(
    workers: Sequence[WorkerLoad],
    *,
    queued_requests: int,
    queued_tokens: int,
    new_requests: int,
    new_tokens: int,
) -> float:
    """Seconds until the last of the new requests has its first token.

    ``max(slot wait, prefill of what is ahead) + own prefill + decode steps in between``: waiting
    for a slot and the prefill of those ahead overlap; each step that carries prefill also carries
    the running sequences' decode, and the step in hand must end first.
    """
    rate = sum(load.prefill_tokens_per_s for load in workers)
    step = max(load.step_s for load in workers)
    room = sum(max(1, load.batched_tokens - len(load.remaining_tokens)) for load in workers)
    ahead = queued_tokens + sum(load.prefill_backlog for load in workers)
    steps = 1 + -(-(ahead + new_tokens) // room)
    slots = _slot_wait(workers, queued_requests + new_requests)
    return max(slots, ahead / rate) + new_tokens / rate + steps * step


def _slot_wait(workers: Sequence[WorkerLoad], requests: int) -> float:
    """Seconds until the last of so many requests, in order, has a slot."""
    short = requests - sum(load.free_slots for load in workers)
    if short <= 0:
        return 0.0
    ends = sorted(left * load.step_s for load in workers for left in load.remaining_tokens)
    if not ends:
        return 0.0
    rounds, index = divmod(short - 1, len(ends))
    return ends[index] + rounds * ends[-1]
