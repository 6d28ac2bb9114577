"""Arrival times: Poisson, bursty, evenly spaced, and all at once, by seed.

`pilotage.prove` puts real servers to the test with processes of the same kinds; the planner may
not import it, and needs only these.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pilotage.errors import UsageError
from pilotage.plan.demand import Demand
from pilotage.plan.simulate.requests import Floats, Ints, Requests, draw_lengths

BURST_S: Final = 60.0
"""Mean length of a busy phase: a spec's peak is the rate "in the busiest minutes"."""

_QUIET_SHARE: Final = 0.5
"""Rate of a quiet phase as a share of the mean; it fixes how often the busy phases come."""

_MAX_REQUESTS: Final = 20_000_000


def poisson(rate: float, duration_s: float, random: np.random.Generator) -> Floats:
    """A Poisson process: the number is Poisson, the places are uniform given the number.

    Source: the order-statistics property of the Poisson process (Ross, Introduction to
    Probability Models, section 5.3.5).
    """
    _check(rate, duration_s)
    count = random.poisson(rate * duration_s)
    return np.sort(random.uniform(0.0, duration_s, count))


def bursty(
    rate: float,
    peak: float,
    duration_s: float,
    random: np.random.Generator,
    burst_s: float = BURST_S,
) -> Floats:
    """A two-state Markov-modulated Poisson process with mean ``rate`` and busy rate ``peak``.

    Quiet phases run at half the mean. The share of time that is busy follows from the mean:
    ``busy = (rate - quiet) / (peak - quiet)``; phases last exponentially long, busy ones
    ``burst_s`` on average. The process begins in its stationary state (Fischer & Meier-Hellstern,
    The Markov-modulated Poisson process cookbook, Performance Evaluation 18, 1993).
    """
    _check(peak, duration_s)
    if peak < rate:
        raise UsageError(f"the peak, {peak:g}/s, is below the mean, {rate:g}/s", where="arrivals")
    if peak == rate:
        return poisson(rate, duration_s, random)
    quiet = _QUIET_SHARE * rate
    busy_share = (rate - quiet) / (peak - quiet)
    quiet_s = burst_s * (1 - busy_share) / busy_share
    edges, rates, busy, now = [0.0], [], bool(random.random() < busy_share), 0.0
    while now < duration_s:
        now += float(random.exponential(burst_s if busy else quiet_s))
        edges.append(min(now, duration_s))
        rates.append(peak if busy else quiet)
        busy = not busy
    lengths = np.diff(edges)
    counts = random.poisson(np.asarray(rates) * lengths)
    begins = np.repeat(edges[:-1], counts)
    return np.sort(begins + random.random(int(counts.sum())) * np.repeat(lengths, counts))


def even(rate: float, duration_s: float) -> Floats:
    """Equal distances: batch work comes in its own time."""
    _check(rate, duration_s)
    return np.arange(max(1, int(np.ceil(rate * duration_s)))) / rate


def from_demand(
    demand: Demand,
    duration_s: float,
    seed: int,
    *,
    rate: float | None = None,
    image_tokens: int = 0,
) -> Requests:
    """Requests that stand for ``demand``.

    Steady work is Poisson, spiky work is `bursty`, batch work `even`, all with the demand's mean.

    Args:
        demand: What is asked for.
        duration_s: Seconds during which requests arrive.
        seed: Another one gives other requests.
        rate: Mean rate instead of the demand's; the peak keeps its ratio.
        image_tokens: Tokens an image adds to the prompt.
    """
    random = np.random.default_rng(seed)
    mean = demand.rate if rate is None else rate
    if demand.shape == "batch":
        times = even(mean, duration_s)
    elif demand.shape == "spiky":
        times = bursty(mean, mean * demand.peak / demand.rate, duration_s, random)
    else:
        times = poisson(mean, duration_s, random)
    prompt = draw_lengths(demand.prompt, len(times), random) + demand.images * image_tokens
    completion = draw_lengths(demand.completion, len(times), random)
    return Requests(times, prompt, completion, duration_s, demand.images)


def traced(times_s: Floats, prompt: Ints, completion: Ints, *, images: int = 0) -> Requests:
    """Requests of a recorded trace; times are shifted so that the first comes at 0."""
    order = np.argsort(times_s, kind="stable")
    times = np.asarray(times_s, dtype=np.float64)[order]
    times = times - times[:1]
    return Requests(
        times,
        np.maximum(1, np.asarray(prompt, dtype=np.int64)[order]),
        np.maximum(1, np.asarray(completion, dtype=np.int64)[order]),
        float(times[-1]) if len(times) else 0.0,
        images,
    )


def _check(rate: float, duration_s: float) -> None:
    if not (rate > 0 and duration_s > 0):
        raise UsageError(f"got {rate:g}/s for {duration_s:g} s", where="arrivals")
    if rate * duration_s > _MAX_REQUESTS:
        raise UsageError(
            f"{rate:g}/s for {duration_s:g} s is {rate * duration_s:,.0f} requests",
            where="arrivals",
            hint=f"Simulate a shorter time; {_MAX_REQUESTS:,} requests are the most.",
        )
