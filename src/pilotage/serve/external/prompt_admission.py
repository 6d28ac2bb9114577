"""Admission in front of an engine that queues without bound by itself.

What is known: the prompts sent to it that have not answered with a first byte, how fast it reads
prompts, how many sequences it runs at once, and how long a request takes. Everything here is
arithmetic: no clock, no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilotage.serve.admission import MARGIN

_MINIMUM_RETRY_S: Final = 0.05
_WEIGHT: Final = 0.3
_LEAST_RATE: Final = 1.0


@dataclass(frozen=True, slots=True)
class BackendLoad:
    """An engine as admission sees it.

    Attributes:
        sequences: Those in flight.
        slots: Those that it runs at once.
        backlog_tokens: Prompt tokens in flight whose requests have brought nothing yet.
        prefill_tokens_per_s: How fast it reads prompts.
        request_s: How long a request takes from its first byte to its last.
    """

    sequences: int
    slots: int
    backlog_tokens: float
    prefill_tokens_per_s: float
    request_s: float


def predict_ttft(load: BackendLoad, new_tokens: float, new_sequences: int) -> float:
    """Seconds until the last of the new sequences has its first token.

    ``max(prefill of what is ahead, wait for a slot) + own prefill``. With all slots taken one of
    them becomes free every ``request_s / slots`` seconds (Little's law).
    """
    rate = max(load.prefill_tokens_per_s, _LEAST_RATE)
    excess = max(0, load.sequences + new_sequences - load.slots)
    slot_s = excess * load.request_s / max(1, load.slots)
    return max(load.backlog_tokens / rate, slot_s) + new_tokens / rate


def retry_after(
    load: BackendLoad, new_tokens: float, new_sequences: int, ttft_target_s: float
) -> float | None:
    """Seconds after which to come back; None when the request is admitted now.

    One that finds nothing in flight is always admitted: no later moment would be better.
    """
    ttft = predict_ttft(load, new_tokens, new_sequences)
    allowed = MARGIN * ttft_target_s
    if ttft <= allowed or not load.sequences:
        return None
    return max(_MINIMUM_RETRY_S, ttft - allowed)


class PrefillMeter:
    """The engine's prefill rate, learned while requests wait in it.

    While some wait it reads prompts as fast as it can beside what it generates, so the growth of
    its prompt-token counter is the rate that the next request will meet. Otherwise the counter
    shows only what was asked of it.
    """

    def __init__(self, warm_up: float) -> None:
        self.tokens_per_s = warm_up
        self._last: tuple[float, int] | None = None

    def saw(self, now: float, prompt_tokens: int, waiting: int) -> None:
        """The engine's counters at a time."""
        if self._last is not None and waiting:
            at, before = self._last
            if now > at and prompt_tokens > before:
                sample = (prompt_tokens - before) / (now - at)
                self.tokens_per_s += _WEIGHT * (sample - self.tokens_per_s)
        self._last = (now, prompt_tokens) if waiting else None


class Mean:
    """An exponentially weighted mean; its first value counts in full."""

    def __init__(self, start: float | None = None) -> None:
        self.value = 0.0 if start is None else start
        self._empty = start is None

    def add(self, value: float) -> None:
        """One more value."""
        weight = 1.0 if self._empty else _WEIGHT
        self._empty = False
        self.value += weight * (value - self.value)
