"""Whether an engine that is a server of its own still makes progress.

Its health route answers while it hangs, so progress is judged by what it does: its token counters
move, it has nothing to do, or it completes a probe. One that does none of these for the time-out
is probed; it is hung when the probe does not come back either. An engine that uses the CPU
meanwhile (a long prefill, a first compilation) is given ten times as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pilotage.serve.external.engine_metrics import EngineCounts

PATIENCE: Final = 3.0
"""Time-outs without progress after which an idle-looking engine counts as hung."""

BUSY_PATIENCE: Final = 30.0
"""The same for one that uses the CPU."""

_BUSY_SHARE: Final = 0.05

Finding = Literal["well", "probe", "hung"]


@dataclass
class EngineProgress:
    """Follows one life of an engine.

    Attributes:
        timeout_s: Time without progress after which it is probed.
        last_at: When it last made progress.
    """

    timeout_s: float
    last_at: float
    _tokens: tuple[int, int] | None = None
    _cpu_s: float = 0.0
    _cpu_at: float = 0.0
    _idle_cpu_since: float | None = None

    def probed(self, now: float) -> None:
        """A probe came back."""
        self.last_at = now

    def judge(self, now: float, counts: EngineCounts | None, cpu_s: float) -> Finding:
        """Judge by what was just seen.

        Args:
            now: The time, seconds.
            counts: What its metrics say; None when they did not answer.
            cpu_s: CPU seconds its processes have used.
        """
        used, span = cpu_s - self._cpu_s, now - self._cpu_at
        self._cpu_s, self._cpu_at = cpu_s, now
        if span > 0 and used >= _BUSY_SHARE * span:
            self._idle_cpu_since = None
        elif self._idle_cpu_since is None:
            self._idle_cpu_since = now
        if counts is not None:
            tokens = (counts.generated_tokens, counts.prompt_tokens)
            if tokens != self._tokens or not (counts.running or counts.waiting):
                self._tokens = tokens
                self.last_at = now
        stalled = now - self.last_at
        if stalled < self.timeout_s:
            return "well"
        idle = 0.0 if self._idle_cpu_since is None else now - self._idle_cpu_since
        if stalled >= BUSY_PATIENCE * self.timeout_s:
            return "hung"
        if stalled >= PATIENCE * self.timeout_s and idle >= self.timeout_s:
            return "hung"
        return "probe"
