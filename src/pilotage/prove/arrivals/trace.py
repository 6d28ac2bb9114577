"""A recorded trace of requests, and its replay at any speed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotage.errors import UsageError
from pilotage.prove.arrivals.bounds import (
    check_duration,
    check_rate,
    show_duration,
    show_rate,
)
from pilotage.prove.load import Schedule

# Speeds beyond which times would overflow or fall together.
_MIN_SPEED, _MAX_SPEED = 1e-6, 1e6


@dataclass(frozen=True, eq=False)
class Trace:
    """Requests as they once came: when, and how long they were.

    Attributes:
        times_s: When each came, in seconds since the first, ascending.
        prompt_tokens: Length of each prompt.
        completion_tokens: Length of each answer; 0 for a request that brought none.
        prefix_ids: For each request the ids of the blocks of 512 tokens its prompt is made of: two
            prompts that begin with the same ids begin alike. None if the trace does not say.
        name: What to call it: the file's name.
    """

    times_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64]
    completion_tokens: NDArray[np.int64]
    prefix_ids: tuple[tuple[int, ...], ...] | None
    name: str

    def __len__(self) -> int:
        """Requests in it."""
        return len(self.times_s)

    @property
    def duration_s(self) -> float:
        """Seconds from the first request to the end of the last one's gap.

        The last gap is not recorded; it is taken to be as long as the others are on average.
        Where all came at one moment there is none to take, and it is a second.
        """
        last = float(self.times_s[-1])
        return last * len(self) / (len(self) - 1) if last > 0 else 1.0

    @property
    def rate(self) -> float:
        """Requests a second on average."""
        return len(self) / self.duration_s


def replay(
    trace: Trace,
    *,
    speed: float = 1.0,
    start_s: float = 0.0,
    duration_s: float | None = None,
    requests: int | None = None,
) -> Schedule:
    """The requests of ``trace`` at their times, with their lengths.

    A length of 0 becomes 1: no server accepts an empty prompt, or to be asked for no tokens.

    Args:
        trace: What to replay.
        speed: How much faster than it was recorded, from 0.000001 to 1000000.
        start_s: Where to begin, in seconds of the trace; that is second 0 of the schedule.
        duration_s: Seconds during which requests are due, on the run's clock (``speed`` times as
            many of the trace). Less if the trace ends before; all of it if None.
        requests: The most requests to take.

    Raises:
        UsageError: An argument cannot be used, or no request is left.
    """
    if not _MIN_SPEED <= speed <= _MAX_SPEED:
        raise UsageError(
            f"got {speed:g}",
            where="speed",
            hint=f"Give a factor from {_MIN_SPEED:f} to {_MAX_SPEED:.0f}: 2 is twice as fast.",
        )
    if not 0 <= start_s < trace.duration_s:
        raise UsageError(
            f"got {start_s:g}, and the trace {trace.name} is {trace.duration_s:.6g} s long",
            where="start",
            hint="Give a second of the trace, from 0.",
        )
    if requests is not None and requests < 1:
        raise UsageError(f"got {requests}", where="requests", hint="Give at least 1.")
    first = int(np.searchsorted(trace.times_s, start_s))
    length_s = (trace.duration_s - start_s) / speed
    if duration_s is not None:
        length_s = min(length_s, check_duration(duration_s))
    times = (trace.times_s[first:] - start_s) / speed
    count = int(np.searchsorted(times, length_s))
    if count == 0:
        raise UsageError(
            f"the trace {trace.name} has no request in the {show_duration(length_s * speed)} "
            f"from {show_duration(start_s)} on",
            where="start",
            hint=_next_request(trace, first),
        )
    if requests is not None and requests < count:
        # The last request's gap belongs to it, so the end is where the next request would be due.
        later = times[times > times[requests - 1]]
        length_s = min(length_s, float(later[0])) if len(later) else length_s
        count = requests
    taken = slice(first, first + count)
    faster = "" if speed == 1 else f"at {speed:.3g} times its speed, "
    begun = f" from {show_duration(start_s)} on" if start_s else ""
    return Schedule(
        times_s=times[:count],
        duration_s=length_s,
        description=f"trace {trace.name}{begun}, {faster}{show_rate(count / length_s)} on average "
        f"for {show_duration(length_s)}",
        prompt_tokens=np.maximum(trace.prompt_tokens[taken], 1),
        completion_tokens=np.maximum(trace.completion_tokens[taken], 1),
        prefix_ids=None if trace.prefix_ids is None else trace.prefix_ids[taken],
    )


def _next_request(trace: Trace, first: int) -> str:
    """What to do where there is nothing, given the next request's index."""
    if first == len(trace):
        return f"Its last request is at {trace.times_s[-1]:.6g} s: start there or before."
    return f"Its next request is at {trace.times_s[first]:.6g} s: start there, or go on for longer."


def scaled_to(
    trace: Trace, rate: float, *, start_s: float = 0.0, duration_s: float | None = None
) -> float:
    """The speed at which ``trace`` has a mean of ``rate`` requests a second.

    Of the part that will be replayed: traces are quiet at times, and the mean of a day says little
    of its first minutes.

    Args:
        trace: What will be replayed.
        rate: Requests a second.
        start_s: Where the replay begins, in seconds of the trace.
        duration_s: Seconds of the replay. All that is left if None, or if there is not so much.

    Raises:
        UsageError: ``rate`` is not above zero, or all requests of the trace came at one moment.
    """
    check_rate(rate)
    if trace.times_s[-1] == 0:
        raise UsageError(
            "all requests came at one moment: there is no rate to scale",
            where=trace.name,
            hint="Give a longer trace, or replay this one as it is.",
        )
    first = int(np.searchsorted(trace.times_s, start_s))
    wanted = len(trace) if duration_s is None else first + max(1, round(rate * duration_s))
    if duration_s is not None and wanted < len(trace):
        # The request after the last one that is wanted ends the part.
        span_s = float(trace.times_s[wanted]) - start_s
        return span_s / duration_s
    left = len(trace) - first
    return rate * (trace.duration_s - start_s) / left if left else rate / trace.rate
