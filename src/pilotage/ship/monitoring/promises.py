"""The latencies that the spec promises, and how well our histograms can tell whether they hold."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

from pilotage.serve.telemetry.metrics import (
    DURATION_BUCKETS,
    TIME_PER_OUTPUT_TOKEN_BUCKETS,
    TIME_TO_FIRST_TOKEN_BUCKETS,
)
from pilotage.ship.monitoring.series import Series, span
from pilotage.spec import Deployment

SHARE: Final = 0.99
"""Of the requests: what the spec's ``_p99`` means."""

_ENOUGH: Final = 100
"""Requests of which the slowest is the 99th percentile."""
_SHORTEST_S: Final = 300
_LONGEST_S: Final = 3600
_UNKNOWN_S: Final = 900
_UNKNOWN_ENOUGH: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A latency that is measured, promised or not.

    Attributes:
        key: As in the spec's ``slo``: ttft, tpot, e2e.
        words: What it is.
        alert: The alert's name where it is too long.
        metric: Its histogram.
        matchers: Which of its series: answers that were refused at once are fast, and no answers.
        bounds: Upper bounds of the histogram's buckets, seconds.
        limit_s: What is promised at p99, seconds; None if nothing is.
        window_s: Over which a percentile is taken.
        enough: Fewest requests in it of which a percentile says something.
        why: Where window and number come from.
    """

    key: str
    words: str
    alert: str
    metric: str
    matchers: tuple[str, ...]
    bounds: tuple[float, ...]
    limit_s: float | None
    window_s: int
    enough: int
    why: str

    @property
    def measurable(self) -> bool:
        """Whether the histogram reaches as far as the promise."""
        return self.limit_s is not None and self.limit_s <= self.bounds[-1]

    @property
    def recorded(self) -> str:
        """Name of the recorded percentile."""
        return f"job:pilotage_{self.key}_seconds:p99"

    def percentile(self, series: Series, share: float, window: str) -> str:
        """A percentile of it."""
        return series.quantile(share, self.metric, window, *self.matchers)

    def broken(self, series: Series) -> str:
        """True while the promise is broken and enough requests say so."""
        # What lies beyond the last bound is told as that bound, so there it counts as above.
        above = ">=" if self.limit_s == self.bounds[-1] else ">"
        counted = series.of(f"{self.metric}_count", *self.matchers)
        seen = series.total(f"increase({counted}[{span(self.window_s)}])")
        return f"{series.of(self.recorded)} {above} {self.limit_s:g} and {seen} >= {self.enough}"

    @property
    def reason(self) -> str:
        """Where the threshold comes from, and how exact the percentile is."""
        return f"slo.{self.key}_p99 is {self.limit_s:g} s. {self._exactness} {self.why}"

    @property
    def _exactness(self) -> str:
        limit = self.limit_s or 0.0
        at = bisect_left(self.bounds, limit)
        if self.bounds[at] == limit:
            return "That is a bound of the histogram, so this is exact."
        low = self.bounds[at - 1] if at else 0.0
        return f"The histogram is interpolated between {low:g} s and {self.bounds[at]:g} s."


def latencies(deployment: Deployment) -> tuple[Latency, ...]:
    """First token, next tokens, the whole: each with what the spec promises of it."""
    window, enough, why = _window(deployment)
    slo = deployment.slo
    return tuple(
        Latency(
            key=key,
            words=words,
            alert=alert,
            metric=metric,
            matchers=matchers,
            bounds=bounds,
            limit_s=limit,
            window_s=window,
            enough=enough,
            why=why,
        )
        for key, words, alert, metric, matchers, bounds, limit in (
            (
                "ttft",
                "time to first token",
                "PilotageSlowFirstTokens",
                "gen_ai_server_time_to_first_token_seconds",
                (),
                TIME_TO_FIRST_TOKEN_BUCKETS,
                slo.ttft_p99,
            ),
            (
                "tpot",
                "time per output token",
                "PilotageSlowTokens",
                "gen_ai_server_time_per_output_token_seconds",
                (),
                TIME_PER_OUTPUT_TOKEN_BUCKETS,
                slo.tpot_p99,
            ),
            (
                "e2e",
                "end-to-end latency",
                "PilotageSlowAnswers",
                "gen_ai_server_request_duration_seconds",
                ('error_type=""',),
                DURATION_BUCKETS,
                slo.e2e_p99,
            ),
        )
    )


def _window(deployment: Deployment) -> tuple[int, int, str]:
    """Seconds in which the planned rate brings twice what a 99th percentile needs, in bounds."""
    if deployment.workload is None:
        return (
            _UNKNOWN_S,
            _UNKNOWN_ENOUGH,
            f"The spec tells no rate: {span(_UNKNOWN_S)} with at least {_UNKNOWN_ENOUGH} requests.",
        )
    rate = deployment.workload.arrivals.rate
    wanted = min(_LONGEST_S, 2 * _ENOUGH / rate)
    window = max(_SHORTEST_S, 60 * math.ceil(wanted / 60))
    enough = max(1, min(_ENOUGH, math.floor(rate * window / 2)))
    return (
        window,
        enough,
        f"At the planned {rate:g} requests a second {span(window)} hold about "
        f"{rate * window:,.0f}; fewer than {enough} are not judged.",
    )
