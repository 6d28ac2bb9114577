"""What a simulation says: percentiles with intervals, throughput, replica-hours, curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from pilotage.errors import UsageError
from pilotage.plan.option import Latencies
from pilotage.plan.simulate.outcome import Outcome
from pilotage.plan.simulate.requests import Floats, Requests

Measure = Literal["ttft", "tpot", "e2e"]

_BLOCKS: Final = 20
_T19: Final = 2.093
"""Student's t at 97.5 % with 19 degrees of freedom: a 95 % interval from 20 blocks."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A point of the timeline.

    Attributes:
        time_s: The middle of a stretch of time.
        arrivals_per_s: Requests that arrived in it, a second.
        finished_per_s: Requests that ended in it, a second.
        in_progress: Requests in progress at its middle.
        replicas: Replicas paid for at its middle.
    """

    time_s: float
    arrivals_per_s: float
    finished_per_s: float
    in_progress: int
    replicas: int


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """A simulated run.

    Attributes:
        requests: Requests judged: those that arrived after the warm-up.
        rejected: Of them, refused by admission.
        ttft: Seconds to the first token, of accepted requests; None if none was accepted.
        tpot: Seconds per output token after the first; None if no completion has two.
        e2e: Seconds from arrival to the last token.
        requests_per_s: Requests that ended while requests arrived, a second.
        output_tokens_per_s: Tokens of the requests that ended, a second.
        utilisation: Share of the paid time in which engines worked, at most 1.
        replica_hours: What autoscaling would be billed.
        interruptions: Replicas lost to spot interruptions.
        restarted: Requests that began anew because of them.
        table_error: Median and 90th percentile of what the step table is off the step model by.
        window_bias: Relative error in the number of requests in progress that comes from
            simulating windows side by side; 0 when time was simulated in one piece.
        duration_s: Seconds during which requests arrived.
        offered_s: Of them, those that the judged requests are held against when it is asked
            whether they came faster than they were answered: only the judged ones' own where
            others arrive after them, all where not.
    """

    requests: int
    rejected: int
    ttft: Latencies | None
    tpot: Latencies | None
    e2e: Latencies | None
    requests_per_s: float
    output_tokens_per_s: float
    utilisation: float
    replica_hours: float
    interruptions: int
    restarted: int
    table_error: tuple[float, float]
    window_bias: float
    duration_s: float
    offered_s: float
    _samples: dict[Measure, Floats]
    _outcome: Outcome

    @property
    def reject_rate(self) -> float:
        """Share of the requests that admission refused."""
        return self.rejected / self.requests

    def samples(self, measure: Measure) -> Floats:
        """Seconds of each accepted request, in order of arrival."""
        return self._samples[measure]

    def share_within(self, measure: Measure, seconds: float) -> float:
        """Share of the accepted requests that took at most so long."""
        samples = self._samples[measure]
        return float((samples <= seconds).mean()) if len(samples) else float("nan")

    def cdf(self, measure: Measure, points: int = 100) -> tuple[tuple[float, float], ...]:
        """(seconds, share of requests that took at most so long), for a chart.

        The points lie closer towards the end, where an SLO looks: half of them beyond the 90th
        percentile, up to the 99.9th.
        """
        samples = self._samples[measure]
        if not len(samples):
            return ()
        half = max(1, points // 2)
        shares = np.concatenate(
            (np.linspace(0.0, 0.9, half, endpoint=False), np.linspace(0.9, 0.999, points - half))
        )
        values = np.quantile(samples, shares)
        return tuple(zip(values.tolist(), shares.tolist(), strict=True))

    def timeline(self, points: int = 60) -> tuple[Moment, ...]:
        """Load and fleet over time, for a chart."""
        outcome = self._outcome
        edges = np.linspace(0.0, self.duration_s, points + 1)
        middles = (edges[:-1] + edges[1:]) / 2
        width = self.duration_s / points
        ends = np.sort(outcome.finish_s[~np.isnan(outcome.finish_s)])
        begins = outcome.arrival_s[~np.isnan(outcome.finish_s)]
        arrived = np.histogram(outcome.arrival_s, edges)[0] / width
        finished = np.histogram(ends, edges)[0] / width
        present = np.searchsorted(begins, middles) - np.searchsorted(ends, middles)
        changes = np.array([when for when, _ in outcome.replicas])
        levels = np.array([level for _, level in outcome.replicas])
        paid = levels[np.searchsorted(changes, middles, side="right") - 1]
        return tuple(
            Moment(*each)
            for each in zip(
                middles.tolist(),
                arrived.tolist(),
                finished.tolist(),
                present.tolist(),
                paid.tolist(),
                strict=True,
            )
        )


def summarise(
    requests: Requests,
    outcome: Outcome,
    table_error: tuple[float, float],
    warm_up_s: float,
    judged_until_s: float | None = None,
) -> Simulation:
    """The statistics of a run.

    Requests that arrived before ``warm_up_s`` are left out, and so are those that came from
    ``judged_until_s`` on.
    """
    end_s = requests.duration_s if judged_until_s is None else judged_until_s
    judged = outcome.arrival_s >= warm_up_s
    if judged_until_s is not None:
        judged &= outcome.arrival_s < judged_until_s
    count = int(judged.sum())
    if not count:
        raise UsageError("no request arrives after the warm-up", where="warm_up_s")
    done = judged & ~np.isnan(outcome.finish_s)
    arrival, first, finish = (
        times[done] for times in (outcome.arrival_s, outcome.first_s, outcome.finish_s)
    )
    completion = requests.completion[done]
    several = completion > 1
    samples: dict[Measure, Floats] = {
        "ttft": first - arrival,
        "tpot": (finish - first)[several] / (completion[several] - 1),
        "e2e": finish - arrival,
    }
    span = end_s - warm_up_s
    in_time = finish <= requests.duration_s

    def latencies(measure: Measure, when: Floats) -> Latencies | None:
        return percentiles(samples[measure], when, warm_up_s, end_s)

    return Simulation(
        requests=count,
        rejected=count - int(done.sum()),
        ttft=latencies("ttft", arrival),
        tpot=latencies("tpot", arrival[several]),
        e2e=latencies("e2e", arrival),
        requests_per_s=float(in_time.sum()) / span if span > 0 else float("nan"),
        output_tokens_per_s=float(completion[in_time].sum()) / span if span > 0 else float("nan"),
        utilisation=min(1.0, outcome.busy_s / outcome.paid_s) if outcome.paid_s else float("nan"),
        replica_hours=outcome.paid_s / 3600,
        interruptions=outcome.interruptions,
        restarted=outcome.restarted,
        table_error=table_error,
        window_bias=outcome.window_bias,
        duration_s=requests.duration_s,
        offered_s=requests.duration_s if judged_until_s is None else span,
        _samples=samples,
        _outcome=outcome,
    )


def percentiles(samples: Floats, when: Floats, begin: float, end: float) -> Latencies | None:
    """p50, p90, p99, and a 95 % interval of the p99 that allows for correlated requests.

    Requests that are near in time share a queue, so they count for less than as many independent
    ones. Time is cut into 20 blocks; the variance of the share of requests at or below the
    estimated p99 is that of a ratio of block totals (Cochran, Sampling Techniques, section 6.3),
    and the interval of the share is turned into one of the quantile by reading both ends off the
    samples (Woodruff, Confidence intervals for medians and other position measures, JASA 47,
    1952). Where the upper end is beyond all samples, it is the largest of them: run for longer.
    """
    if not len(samples):
        return None
    p50, p90, p99 = np.quantile(samples, (0.5, 0.9, 0.99)).tolist()
    width = max(end - begin, 1e-12) / _BLOCKS
    block = np.clip(((when - begin) / width).astype(np.int64), 0, _BLOCKS - 1)
    total = np.bincount(block, minlength=_BLOCKS).astype(np.float64)
    below = np.bincount(block, weights=samples <= p99, minlength=_BLOCKS)
    residual = below - 0.99 * total
    variance = _BLOCKS / (_BLOCKS - 1) * float((residual**2).sum()) / len(samples) ** 2
    half = _T19 * variance**0.5
    low, high = np.quantile(samples, (max(0.0, 0.99 - half), min(1.0, 0.99 + half))).tolist()
    return Latencies(p50=p50, p90=p90, p99=p99, p99_low=low, p99_high=high)
