"""How long requests are: a histogram of token counts."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Final

from pilotage.errors import UsageError
from pilotage.units import printable

_Z99: Final = NormalDist().inv_cdf(0.99)
_MAX_LINES: Final = 5_000_000
_KEYS: Final = ("prompt_tokens", "tokens", "length")


@dataclass(frozen=True, slots=True)
class Lengths:
    """The lengths of many requests.

    Attributes:
        weights: Pairs of a length in tokens (at least 1) and how often it comes (above 0), in
            ascending order of lengths.
    """

    weights: tuple[tuple[int, float], ...]

    @staticmethod
    def of(lengths: Iterable[int], longest: int) -> Lengths:
        """The histogram of `lengths`; what is longer than `longest` counts as that long.

        Raises:
            ValueError: There is none, or one is below 1.
        """
        counts = Counter(min(length, longest) for length in lengths)
        if not counts or min(counts) < 1:
            raise ValueError("lengths should be whole numbers from 1, at least one of them")
        return Lengths(tuple((length, float(counts[length])) for length in sorted(counts)))

    @staticmethod
    def log_normal(p50: float, p99: float, longest: int) -> Lengths:
        """The log-normal distribution with that median and 99th percentile, in whole tokens.

        The logarithm of a length has the mean ``ln p50`` and the standard deviation
        ``ln(p99 / p50) / 2.326``; the length ``n`` has what lies from ``n - 1/2`` to ``n + 1/2``.
        Longer ones than `longest` count as that long: a server refuses them, and clients cut.
        """
        p99 = max(p99, p50)
        spread = math.log(p99 / p50) / _Z99
        if spread < 1e-9 or longest == 1:
            return Lengths(((max(1, min(round(p50), longest)), 1.0),))
        normal = NormalDist(math.log(p50), spread)
        below = [0.0, *(normal.cdf(math.log(n + 0.5)) for n in range(1, longest)), 1.0]
        shares = ((n, below[n] - below[n - 1]) for n in range(1, longest + 1))
        return Lengths(tuple((n, share) for n, share in shares if share > 0))

    @staticmethod
    def of_file(path: Path, longest: int) -> Lengths:
        """The lengths in a file: a number a line, or a JSON object a line.

        An object has its length as ``prompt_tokens``, ``tokens`` or ``length``, as traces for
        `pilotage prove` have.

        Raises:
            UsageError: The file cannot be read or holds something else; ``where`` is
                ``file:line``.
        """
        name = printable(str(path))
        counts: Counter[int] = Counter()
        try:
            with path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    if number > _MAX_LINES:
                        raise UsageError(f"more than {_MAX_LINES:,} lines", where=name)
                    if line.strip():
                        counts[min(_length(line, f"{name}:{number}"), longest)] += 1
        except OSError as error:
            raise UsageError(f"cannot be read: {error.strerror or error}", where=name) from error
        except UnicodeDecodeError as error:
            raise UsageError("is no text", where=name) from error
        if not counts:
            raise UsageError("holds no lengths", where=name)
        return Lengths.of(counts.elements(), longest)

    @property
    def mean(self) -> float:
        """Tokens a request."""
        total = sum(weight for _, weight in self.weights)
        return sum(length * weight for length, weight in self.weights) / total


def _length(line: str, where: str) -> int:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        value = next((value[key] for key in _KEYS if key in value), None)
    if type(value) is not int or value < 1:
        raise UsageError(
            "is no length",
            where=where,
            hint=f"Give a whole number a line, or an object with {', '.join(_KEYS)}",
        )
    return value
