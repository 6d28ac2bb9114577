"""Arrival processes: constant, Poisson, gamma, and a ramp of Poisson steps.

The random ones are made at unit rate and stretched: gaps with a mean of 1 are summed up to the
number of requests expected, and the sums divided by the rate. So the number of arrivals is random,
as it is in a real Poisson process and is not where arrivals are squeezed into the duration
afterwards; a longer run begins like a shorter one of the same seed; and two rates with one seed
differ in speed alone, which makes runs at different rates comparable.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pilotage.errors import UsageError
from pilotage.prove.arrivals.bounds import (
    MAX_REQUESTS,
    check_count,
    check_duration,
    check_rate,
    check_size,
    show_duration,
    show_rate,
)
from pilotage.prove.load import Schedule

_Floats = NDArray[np.float64]

# Gaps are drawn and summed in pieces of one size, whatever the duration: were the pieces to
# depend on it, so would the rounding of the sums, and a longer run would not begin alike.
_PIECE = 4096

# Beyond these a gamma process is of no use and its numbers underflow: at 0.01 the gaps' standard
# deviation is 10 times their mean, at 1000 it is 3 % of it.
_MIN_BURSTINESS, _MAX_BURSTINESS = 0.01, 1000.0

_MAX_STEPS = 10_000

# Sets this stream of random numbers apart from a payload's with the same seed: gaps must not
# be correlated with lengths.
_STREAM = 0xA221


def constant(rate: float, duration_s: float) -> Schedule:
    """Requests at equal distances, the first at once.

    Args:
        rate: Requests a second.
        duration_s: Seconds during which requests are due.

    Raises:
        UsageError: ``rate`` or ``duration_s`` is not above zero, or there would be too many.
    """
    rate, duration_s = check_rate(rate), check_duration(duration_s)
    check_size(rate, duration_s)
    places = np.arange(int(np.ceil(rate * duration_s)) or 1, dtype=np.float64)
    return _schedule("constant", rate, duration_s, places)


def poisson(rate: float, duration_s: float, seed: int) -> Schedule:
    """Independent requests: exponential gaps, a random number of arrivals.

    Args:
        rate: Requests a second on average.
        duration_s: Seconds during which requests are due.
        seed: A whole number from 0; another one gives other arrivals.

    Raises:
        UsageError: An argument cannot be used, or the schedule came out empty or too long.
    """
    rate, duration_s = check_rate(rate), check_duration(duration_s)
    check_size(rate, duration_s)
    return _schedule("Poisson", rate, duration_s, _unit_poisson(rate * duration_s, seed))


def gamma(rate: float, duration_s: float, burstiness: float, seed: int) -> Schedule:
    """Requests in bursts: gaps from a gamma distribution with shape ``burstiness``.

    The word is vLLM's: 1 is Poisson, below 1 is burstier, above 1 more even. The gaps' coefficient
    of variation is ``1 / sqrt(burstiness)``.

    The process is stationary, as if it had run for ever before the run began: the run does not
    begin with an arrival, and ``rate * duration_s`` requests are to be expected however bursty
    they are. For this the first gap is what is left, from a random moment on, of the gap
    around that moment. Long gaps hold more moments, so that gap's density is ``x f(x) / mean``:
    a gamma distribution with shape ``burstiness + 1`` and the same scale, of which a
    uniform part is left (Cox, Renewal Theory, 1962, chapter 5).

    Args:
        rate: Requests a second on average.
        duration_s: Seconds during which requests are due.
        burstiness: Shape of the gaps, from 0.01 to 1000.
        seed: A whole number from 0; another one gives other arrivals.

    Raises:
        UsageError: An argument cannot be used, or the schedule came out empty or too long.
    """
    rate, duration_s = check_rate(rate), check_duration(duration_s)
    if not _MIN_BURSTINESS <= burstiness <= _MAX_BURSTINESS:
        raise UsageError(
            f"got {burstiness:g}",
            where="burstiness",
            hint=f"Give a number from {_MIN_BURSTINESS:g} to {_MAX_BURSTINESS:g}: "
            "1 is Poisson, less is burstier.",
        )
    check_size(rate, duration_s)
    random = _generator(seed)
    first = random.random() * random.standard_gamma(burstiness + 1.0) / burstiness
    places = _sums(
        lambda size: random.standard_gamma(burstiness, size) / burstiness,
        rate * duration_s,
        first=first,
    )
    return _schedule(f"gamma, burstiness {burstiness:g}", rate, duration_s, places)


def ramp(from_rate: float, to_rate: float, steps: int, duration_s: float, seed: int) -> Schedule:
    """A rate that goes from one to another in equal steps, Poisson within each.

    Args:
        from_rate: Requests a second in the first step.
        to_rate: Requests a second in the last step; it may be the lower one.
        steps: Steps of equal length, from 2.
        duration_s: Seconds during which requests are due, all steps together.
        seed: A whole number from 0; another one gives other arrivals.

    Raises:
        UsageError: An argument cannot be used, or the schedule came out empty or too long.
    """
    check_rate(from_rate, "first rate")
    check_rate(to_rate, "last rate")
    duration_s = check_duration(duration_s)
    if not 2 <= steps <= _MAX_STEPS:
        raise UsageError(f"got {steps}", where="steps", hint=f"Give from 2 to {_MAX_STEPS:,}.")
    # The mean first, as the sum of two halves: check_size is to see a sum that overflows as well.
    check_size(from_rate / 2 + to_rate / 2, duration_s)
    rates = np.linspace(from_rate, to_rate, steps)
    edges = np.linspace(0.0, duration_s, steps + 1)
    # A Poisson process with a changing rate is one of unit rate whose time is the number of
    # requests expected so far; between the edges that number grows evenly.
    expected = np.concatenate(([0.0], np.cumsum(rates * (duration_s / steps))))
    times = np.interp(_unit_poisson(float(expected[-1]), seed), expected, edges)
    # Rounding may carry the end of one step past the beginning of the next.
    times = np.maximum.accumulate(times)
    times = times[times < duration_s]
    check_count(len(times), float(rates.mean()), duration_s)
    return Schedule(
        times_s=times,
        duration_s=duration_s,
        description=f"ramp, {show_rate(from_rate)} to {show_rate(to_rate)} in {steps} steps of "
        f"{show_duration(duration_s / steps)}",
        stages=tuple(zip(edges[:-1].tolist(), rates.tolist(), strict=True)),
    )


def _schedule(process: str, rate: float, duration_s: float, places: _Floats) -> Schedule:
    """The schedule of a process, from the places of its arrivals at unit rate."""
    # Compared before the division, which could overflow for what lies beyond the end, and
    # after it, since rounding may put the last one on the end itself.
    times = places[places <= rate * duration_s] / rate
    times = times[times < duration_s]
    check_count(len(times), rate, duration_s)
    return Schedule(
        times_s=times,
        duration_s=duration_s,
        description=f"{process}, {show_rate(rate)} for {show_duration(duration_s)}",
    )


def _unit_poisson(expected: float, seed: int) -> _Floats:
    """The arrivals of a Poisson process of rate 1 up to ``expected``, and some beyond."""
    return _sums(_generator(seed).standard_exponential, expected)


def _sums(gaps: Callable[[int], _Floats], expected: float, first: float = 0.0) -> _Floats:
    """Running sums of ``gaps`` from ``first`` until they pass ``expected``.

    They stop as well when there are more than a schedule may have. ``first`` is one of them
    if it is above zero.
    """
    pieces = [np.array([first])] if first > 0 else []
    count, end = len(pieces), first
    while end <= expected and count <= MAX_REQUESTS:
        piece = end + np.cumsum(gaps(_PIECE))
        pieces.append(piece)
        count, end = count + _PIECE, float(piece[-1])
    return np.concatenate(pieces)


def _generator(seed: int) -> np.random.Generator:
    if seed < 0:
        raise UsageError(f"got {seed}", where="seed", hint="Give a whole number from 0.")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM,)))
