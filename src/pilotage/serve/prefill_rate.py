"""How fast a worker processes prompts, measured while it serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pilotage.engines.engine import EngineOutput

_WEIGHT: Final = 0.2
_ENOUGH_TOKENS: Final = 64


class PrefillRate:
    """Prompt tokens per second, as an exponentially weighted mean over steps with prefill.

    The time of a step is that of its prompt tokens plus that of decoding the other sequences.
    The second part is known from steps without prefill (as time for a sequence), and taken off.
    Prompts count when their first token appears, over all steps they took. A prefix found in the
    cache counts like any other: what admission needs is how soon a prompt is through.
    """

    def __init__(self, warm_up: float) -> None:
        self._rate = warm_up
        self._decode_s = 0.0
        self._waiting: dict[int, int] = {}
        self._spent = 0.0

    @property
    def tokens_per_s(self) -> float:
        """The present estimate."""
        return self._rate

    def submitted(self, request_id: int, prompt_tokens: int) -> None:
        """A prompt that has yet to be processed."""
        self._waiting[request_id] = prompt_tokens

    def stepped(self, duration_s: float, outputs: Sequence[EngineOutput]) -> None:
        """A step took so long and brought these outputs."""
        for output in outputs:
            if output.finish_reason in ("cancelled", "error"):
                self._waiting.pop(output.id, None)  # its prompt never was through
        started = [o.id for o in outputs if o.id in self._waiting]
        if not self._waiting:
            self._spent = 0.0
            if any(o.token_ids for o in outputs):
                self._decode_s += _WEIGHT * (duration_s - self._decode_s)
            return
        self._spent += max(duration_s - self._decode_s, duration_s * 0.1)
        tokens = sum(self._waiting.pop(request_id) for request_id in started)
        if tokens >= _ENOUGH_TOKENS and self._spent > 0:
            # A cached prefix can make a sample look a hundred times as fast; one is no trend.
            sample = min(tokens / self._spent, 2.0 * self._rate)
            self._rate += _WEIGHT * (sample - self._rate)
        if started:
            self._spent = 0.0
