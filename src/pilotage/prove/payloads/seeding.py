"""Independent random streams from one seed."""

from __future__ import annotations

import random


def random_for(seed: int, *purpose: object) -> random.Random:
    """The random stream of `seed` for one purpose.

    Streams of other purposes do not shift when one of them is used more or less, so the lengths
    of a run stay the same when, say, its images change.
    """
    # A string seed goes through SHA-512 in `random`: alike on every machine and Python version.
    return random.Random("/".join(map(str, (seed, *purpose))))  # noqa: S311 - test data, no secret
