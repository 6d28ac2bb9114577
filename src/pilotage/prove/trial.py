"""One run of a load against a target, as it came out: the raw material of every figure."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.prove.record import Record, SenderStats


@dataclass(frozen=True)
class Trial:
    """What a run brought.

    Attributes:
        records: One a request that was due before the run ended, by index. A request that was
            still in flight when the run was stopped is there, as ``cancelled``.
        senders: What the sender processes say of themselves.
        due_s: Seconds during which requests were due: the load's duration, or less if the run was
            stopped.
        warm_up_s: Requests due before this second are warm-up and in no figure.
        open_loop: Whether requests were sent without waiting for answers.
        planned: Requests that were planned; None if only the duration was.
        stopped: Why the run ended early, if it did.
    """

    records: tuple[Record, ...]
    senders: tuple[SenderStats, ...]
    due_s: float
    warm_up_s: float
    open_loop: bool
    planned: int | None = None
    stopped: str | None = None

    @property
    def warm_up(self) -> tuple[Record, ...]:
        """Requests that are left out of the figures."""
        return tuple(record for record in self.records if record.scheduled_s < self.warm_up_s)

    @property
    def measured(self) -> tuple[Record, ...]:
        """Requests that count: all that were due after the warm-up and not cut off by a stop.

        One cut off by a stop is neither fast nor failed: nobody knows, so it is in no figure.
        """
        return tuple(
            record
            for record in self.records
            if record.scheduled_s >= self.warm_up_s and record.outcome != "cancelled"
        )

    @property
    def measured_s(self) -> float:
        """Seconds of the measured part."""
        return max(0.0, self.due_s - self.warm_up_s)
