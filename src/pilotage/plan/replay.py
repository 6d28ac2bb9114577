"""A recorded trace's busiest stretch, as a simulation replays it.

What a trace has and a rate has not: bursts within the busiest minute, evenness, and lengths that
go with times.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pilotage.plan.simulate.requests import Floats, Ints, Requests

LEAST_S: Final = 60.0
"""A stretch is a minute at least: promises are for the busiest minutes."""

LEAST_REQUESTS: Final = 2_000
"""And has so many requests, if the trace has them: its p99 rests on the slowest 20."""

MOST_REQUESTS: Final = 40_000
"""A minute of more is shortened: it is simulated many times."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Requests as they once came, and the busiest stretch of them.

    Attributes:
        name: The trace's file.
        times_s: Seconds since the first request, ascending.
        prompt: Text tokens of each prompt, from 1.
        completion: Tokens of each answer, from 1.
        peak: Requests a second of its busiest minute, which the demand's peak is.
        begin_s: Where the busiest stretch begins.
        length_s: Seconds of it.
        requests: That came in it.
    """

    name: str
    times_s: Floats
    prompt: Ints
    completion: Ints
    peak: float
    begin_s: float
    length_s: float
    requests: int

    def lengthened(self, factor: float) -> Recording:
        """The same with lengths so many times as large."""
        return dataclasses.replace(
            self,
            prompt=np.maximum(1, np.rint(self.prompt * factor)).astype(np.int64),
            completion=np.maximum(1, np.rint(self.completion * factor)).astype(np.int64),
        )

    def cached(self, share: float) -> Recording:
        """The same with so much of every prompt left out, as a prefix cache holds it."""
        prompt = np.maximum(1, np.rint(self.prompt * (1 - share))).astype(np.int64)
        return dataclasses.replace(self, prompt=prompt)


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """What is simulated of a recording: the stretch, what came before it, and what came after.

    Attributes:
        requests: All of it; time 0 is where the simulation begins.
        warm_up_s: Requests that come before are not judged,
        judged_until_s: and neither are those after it, which only keep the replicas busy.
    """

    requests: Requests
    warm_up_s: float
    judged_until_s: float


def recording(
    times_s: Sequence[float] | Floats,
    prompt_tokens: Sequence[int] | Ints,
    completion_tokens: Sequence[int] | Ints,
    *,
    peak: float,
    name: str,
) -> Recording:
    """A trace with its busiest stretch, which has the most requests of all that are as long.

    It is a minute long; longer, by doubling, until it has `LEAST_REQUESTS`; shorter, by halving,
    while it has more than `MOST_REQUESTS`.

    Args:
        times_s: Seconds since the first request, ascending, with one that is above 0.
        prompt_tokens: Of each request.
        completion_tokens: Likewise; none counts as one.
        peak: Requests a second of its busiest minute.
        name: The file.
    """
    times = np.asarray(times_s, dtype=np.float64)
    # The last gap is not recorded; it is taken to be as long as the others are on average.
    span = float(times[-1]) * len(times) / (len(times) - 1)
    length = min(LEAST_S, span)
    first, count = _busiest(times, length)
    while count < LEAST_REQUESTS and length < span:
        length = min(2 * length, span)
        first, count = _busiest(times, length)
    while count > MOST_REQUESTS:
        length /= 2
        first, count = _busiest(times, length)
    return Recording(
        name=name,
        times_s=times,
        prompt=np.maximum(1, np.asarray(prompt_tokens, dtype=np.int64)),
        completion=np.maximum(1, np.asarray(completion_tokens, dtype=np.int64)),
        peak=peak,
        begin_s=min(float(times[first]), span - length),
        length_s=length,
        requests=count,
    )


def _busiest(times: Floats, length: float) -> tuple[int, int]:
    """The first request of the stretch of this length with the most, and how many it has."""
    counts = np.searchsorted(times, times + length) - np.arange(len(times))
    first = int(np.argmax(counts))
    return first, int(counts[first])


def replay(
    of: Recording,
    *,
    speed: float = 1.0,
    share: float = 1.0,
    around_s: float = 0.0,
    seed: int = 0,
    image_tokens: int = 0,
    images: int = 0,
) -> Replay:
    """The busiest stretch with its surroundings.

    Args:
        of: The trace.
        speed: How much faster than it was recorded.
        share: Part of the requests, from 0 to 1, that so many of a fleet's replicas get: of every
            ``1 / share`` that come one after the other it is the first one's time, as a router
            deals them out, and some one's lengths, so that no rhythm in them is picked out.
        around_s: Seconds of the simulation before and after the stretch; not more than the stretch
            takes itself.
        seed: Of that choice.
        image_tokens: Tokens that a request's images add to its prompt.
        images: Images a request.
    """
    length = of.length_s / speed
    around = min(around_s, length)
    begin, end = of.begin_s - around * speed, of.begin_s + of.length_s + around * speed
    begin = max(0.0, begin)
    first, last = np.searchsorted(of.times_s, (begin, end)).tolist()
    times = (of.times_s[first:last] - begin) / speed
    prompt, completion = of.prompt[first:last], of.completion[first:last]
    if share < 1.0:
        places = np.floor(np.arange(math.ceil(len(times) * share)) / share).astype(np.int64)
        places = places[places < len(times)]
        random = np.random.default_rng([seed, 0x7ACE])
        whose = places + np.floor(random.random(len(places)) / share).astype(np.int64)
        whose = np.minimum(whose, len(times) - 1)
        times, prompt, completion = times[places], prompt[whose], completion[whose]
    warm_up = (of.begin_s - begin) / speed
    return Replay(
        requests=Requests(
            times_s=times,
            prompt=prompt + image_tokens,
            completion=completion,
            duration_s=warm_up + length + around,
            images=images,
        ),
        warm_up_s=warm_up,
        judged_until_s=warm_up + length,
    )
