"""What a run is to do: when requests are due, and how long the run may take."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Schedule:
    """The times at which requests are due: an open loop, which does not wait for answers.

    Attributes:
        times_s: Due times in seconds since the run's start, ascending.
        duration_s: How long requests are due: the end of the last interval, not the last arrival.
        description: The process in a line, such as "Poisson, 20/s for 1m".
        prompt_tokens: Prompt length that each request must have, where the arrivals say so (a
            trace); None where the payloads decide.
        completion_tokens: Completion length that each request must have, likewise.
        prefix_ids: For each request the ids of the shared blocks its prompt begins with (the
            ``hash_ids`` of a Mooncake trace), likewise.
        stages: Where the rate changes: (from second, requests a second), ascending.
    """

    times_s: NDArray[np.float64]
    duration_s: float
    description: str
    prompt_tokens: NDArray[np.int64] | None = None
    completion_tokens: NDArray[np.int64] | None = None
    prefix_ids: tuple[tuple[int, ...], ...] | None = None
    stages: tuple[tuple[float, float], ...] = field(default=())

    def __len__(self) -> int:
        """Requests in it."""
        return len(self.times_s)

    @property
    def rate(self) -> float:
        """Requests a second on average."""
        return len(self.times_s) / self.duration_s if self.duration_s > 0 else 0.0


@dataclass(frozen=True)
class ClosedLoop:
    """A fixed number of clients; each sends its next request when its last one has ended.

    Latency counts from the moment a client is free to send, so a slow server hides its own queue
    here: use it to measure throughput, not to prove a promise about latency.

    Attributes:
        concurrency: Requests in flight at any time.
        duration_s: How long new requests are begun, in seconds; None until ``requests`` are done.
        requests: The most requests to begin; None for as many as fit into ``duration_s``.
    """

    concurrency: int
    duration_s: float | None
    requests: int | None = None

    @property
    def description(self) -> str:
        """In a line, such as "closed loop, 16 clients for 60 s"."""
        until = f"for {self.duration_s:g} s" if self.duration_s else f"until {self.requests} done"
        return f"closed loop, {self.concurrency} clients {until}"


Load = Schedule | ClosedLoop


@dataclass(frozen=True)
class PlannedLoad:
    """A load and the part of it that is in no figure.

    Attributes:
        load: When requests are due.
        warm_up_s: Requests due before this second are warm-up.
    """

    load: Load
    warm_up_s: float
