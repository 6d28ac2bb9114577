"""While a model has no replica: how long that lasts, and what requests may expect of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pilotage.engines.engine import EngineInfo
from pilotage.serve.admission import WorkerLoad
from pilotage.serve.generation import Unavailable
from pilotage.serve.models.replica import Replica

DEFAULT_LOAD_S: Final = 10.0
"""What loading takes, when nobody knows."""


class Absence:
    """Remembers when the last replica went, and how long it took the last time to get one again.

    Args:
        longest_s: Longest that a request waits for one, seconds.

    Attributes:
        longest_s: See above.
        info: What a replica can hold, as last told; None before the first was ready.
    """

    def __init__(self, longest_s: float) -> None:
        self.longest_s = longest_s
        self.info: EngineInfo | None = None
        self._down_since: float | None = None
        self._restart_s: float | None = None

    def began(self, now: float) -> None:
        """No replica is up any more."""
        self._down_since = now

    def ended(self, info: EngineInfo | None, now: float) -> None:
        """A replica is up."""
        self.info = info
        if self._down_since is not None:
            self._restart_s = now - self._down_since
            self._down_since = None

    def since(self, replicas: Iterable[Replica], worker: int | None) -> float | None:
        """Since when there is no replica (on this worker); None if there never was one."""
        lost = [
            replica.down_since
            for replica in replicas
            if replica.down_since is not None and worker in (None, replica.worker)
        ]
        return min(lost, default=self._down_since if worker is None else None)

    def expected(self, since: float | None, now: float) -> tuple[WorkerLoad, float]:
        """The replica that is coming, and the seconds until it is there (less than 0: overdue).

        Raises:
            Unavailable: It will not come soon enough.
        """
        info = self.info
        if since is None or info is None:
            raise Unavailable(
                "the model is still loading", retry_after_s=DEFAULT_LOAD_S, code="model_loading"
            )
        usual = info.load_s if self._restart_s is None else self._restart_s
        left = usual - (now - since)
        if left > self.longest_s or left < -usual:  # or it is overdue, and who knows when it comes
            raise Unavailable(
                "no worker is up; one is being started",
                retry_after_s=max(1.0, left),
                code="no_worker",
            )
        coming = WorkerLoad(
            free_slots=info.max_num_seqs,
            remaining_tokens=(),
            prefill_backlog=0,
            prefill_tokens_per_s=info.prefill_tokens_per_s,
            step_s=0.0,
            batched_tokens=info.max_num_batched_tokens,
        )
        return coming, left
