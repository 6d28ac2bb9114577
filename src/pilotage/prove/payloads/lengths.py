"""Token lengths that follow a workload's median and 99th percentile."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pilotage.errors import UsageError
from pilotage.spec.workload import TokensSpec

_Z99: Final = 2.3263478740408408  # the standard normal's 99th percentile


@dataclass(frozen=True)
class LogNormalLengths:
    """A log-normal distribution of lengths through two percentiles.

    Prompt and answer lengths of real traffic have one long tail; a log-normal is the usual model
    of it. With ``X = exp(mu + sigma Z)``: the median is ``exp(mu)``, so ``mu = ln p50``; the 99th
    percentile is ``exp(mu + 2.3263 sigma)``, so ``sigma = ln(p99 / p50) / 2.3263``.

    Attributes:
        p50: Median in tokens.
        p99: 99th percentile in tokens.
        most: The longest; longer draws are cut to it.
    """

    p50: int
    p99: int
    most: int

    @staticmethod
    def of(spec: TokensSpec, *, most: int | None = None) -> LogNormalLengths:
        """The lengths that `spec` describes, at most four times its p99 and at most `most`.

        The tail beyond 4 * p99 is rare and huge; one such draw would decide a whole run.

        Raises:
            UsageError: `most` is not positive.
        """
        if most is not None and most < 1:
            raise UsageError(f"there is no room for a prompt: at most {most} tokens fit")
        limit = 4 * spec.p99
        return LogNormalLengths(spec.p50, spec.p99, limit if most is None else min(limit, most))

    def draws(self, random_stream: random.Random) -> Iterator[int]:
        """Lengths without end, each at least 1."""
        mu = math.log(self.p50)
        sigma = math.log(self.p99 / self.p50) / _Z99
        while True:
            yield min(self.most, max(1, round(random_stream.lognormvariate(mu, sigma))))

    def __str__(self) -> str:
        """For the report: "p50 180, p99 900"."""
        return f"p50 {self.p50}, p99 {self.p99}"
