"""Which lengths to compile for, so that little of what is computed is padding."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import numpy as np

from pilotage.engines.compiled.lengths import Lengths

WORTH_IT: Final = 0.02
"""Share of the cost that a further bucket must save: each takes memory and time to load."""


def choose_buckets(
    lengths: Lengths,
    longest: int,
    most: int,
    *,
    multiple: int = 1,
    attention: float = 0.0,
    worth: float = 0.0,
) -> tuple[int, ...]:
    """The buckets with the least expected cost of a request; exact, by dynamic programming.

    A request of ``n`` tokens runs in the smallest bucket ``b >= n`` and costs
    ``b + attention * b**2``. In a best set each bucket but the last is the length of a request
    (rounded up to `multiple`), as a bucket above it could be made shorter for free. So with the
    distinct lengths ``v[0] < … < v[m-1] = longest``, the least cost of the requests up to ``v[j]``
    with ``k`` buckets, the last of them at ``v[j]``, is

        C(k, j) = min over i < j of  C(k - 1, i) + weight(i+1 … j) * cost(v[j])

    which takes ``most * m**2`` steps.

    Args:
        lengths: How long requests are; none longer than `longest`.
        longest: The last bucket, so that every request has one.
        most: Buckets at most.
        multiple: Buckets are multiples of this, save the last: vector units take several tokens.
        attention: What attention costs beside the rest, see `attention_cost`.
        worth: Stop at the fewest buckets whose cost is within this share of that of `most`.

    Returns:
        Ascending; the last is `longest`.

    Raises:
        ValueError: `most`, `multiple` or `longest` is below 1, or a request is too long.
    """
    if min(most, multiple, longest) < 1:
        raise ValueError("most, multiple and longest should be at least 1")
    if lengths.weights[-1][0] > longest:
        raise ValueError(f"a request has {lengths.weights[-1][0]} tokens, the longest is {longest}")
    rounded: dict[int, float] = {}
    for length, weight in lengths.weights:
        up = min(-(-length // multiple) * multiple, longest)
        rounded[up] = rounded.get(up, 0.0) + weight
    rounded.setdefault(longest, 0.0)
    ends = sorted(rounded)
    sums = np.array([0.0, *accumulate(rounded[end] for end in ends)])
    price = np.array([_cost(end, attention) for end in ends])
    best = sums[1:] * price  # one bucket
    costs, tables = [float(best[-1])], []
    for _ in range(1, min(most, len(ends))):
        # place[i, j]: the last bucket at j, the one before at i; only i < j is possible.
        place = best[:, None] + (sums[None, 1:] - sums[1:, None]) * price[None, :]
        place[np.tril_indices(len(ends))] = np.inf
        before = place.argmin(axis=0)
        best = place[before, np.arange(len(ends))]
        tables.append(before)
        costs.append(float(best[-1]))
    least = min(costs)
    count = next(n for n, cost in enumerate(costs, 1) if cost <= least * (1 + worth))
    at = len(ends) - 1
    chosen = [ends[at]]
    for before in reversed(tables[: count - 1]):
        at = int(before[at])
        chosen.append(ends[at])
    return tuple(reversed(chosen))


def bucket_of(length: int, buckets: Sequence[int]) -> int:
    """The smallest of `buckets` (ascending) that holds `length` tokens.

    Raises:
        ValueError: None does.
    """
    place = bisect_left(buckets, length)
    if place == len(buckets):
        raise ValueError(f"{length} tokens; the longest bucket has {buckets[-1] if buckets else 0}")
    return buckets[place]


def expected_cost(lengths: Lengths, buckets: Sequence[int], attention: float = 0.0) -> float:
    """The mean cost of a request, in tokens; see `choose_buckets`."""
    total = sum(weight for _, weight in lengths.weights)
    cost = sum(
        weight * _cost(bucket_of(length, buckets), attention) for length, weight in lengths.weights
    )
    return cost / total


def padding_share(lengths: Lengths, buckets: Sequence[int]) -> float:
    """The share of computed tokens that is padding, 0 to 1."""
    return 1 - lengths.mean / expected_cost(lengths, buckets)


def attention_cost(hidden: int, intermediate: int) -> float:
    """What attention costs, for each token of length, as a share of all other work of a token.

    A layer multiplies a token by four matrices of ``hidden x hidden`` and two of ``hidden x
    intermediate``: ``4 h**2 + 2 h f`` multiplications. Its scores and their mix take ``2 n h`` for
    ``n`` tokens. The ratio is ``n / (2 h + f)``: 5 % for MiniLM at 128 tokens.
    """
    return 1 / (2 * hidden + intermediate)


def powers_of_two(longest: int, shortest: int = 16) -> tuple[int, ...]:
    """The buckets where nothing is known of the lengths: each twice the one before."""
    buckets = []
    while shortest < longest:
        buckets.append(shortest)
        shortest *= 2
    return (*buckets, longest)


def _cost(length: int, attention: float) -> float:
    return length + attention * length**2
