"""Counts of engine steps: what the hot path writes, kept cheaper than a metrics library can.

A step happens hundreds of times a second a worker, on the event loop that also streams tokens.
Plain numbers cost it about a microsecond; they become metrics when somebody asks for them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

STEP_SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_BOUNDS = (*map(floatToGoString, STEP_SECONDS_BUCKETS), "+Inf")


class StepCounts:
    """The steps of every worker. For one thread: the event loop's."""

    def __init__(self) -> None:
        self._workers: dict[str, _WorkerSteps] = {}

    def add(self, worker: str, duration_s: float, running: int, new_tokens: int) -> None:
        """Count one step: its duration in seconds, the sequences in it, the tokens it brought."""
        steps = self._workers.get(worker)
        if steps is None:
            steps = self._workers[worker] = _WorkerSteps()
        steps.seconds += duration_s
        steps.sequences += running
        steps.tokens += new_tokens
        steps.buckets[bisect_left(STEP_SECONDS_BUCKETS, duration_s)] += 1

    def collect(self) -> Iterator[Metric]:
        """The counts as metrics."""
        count = CounterMetricFamily(
            "pilotage_engine_steps", "Engine steps reported by a worker.", labels=["worker"]
        )
        sequences = CounterMetricFamily(
            "pilotage_engine_step_sequences",
            "Sequences in a step, summed over steps; divided by the steps, the mean batch size.",
            labels=["worker"],
        )
        seconds = HistogramMetricFamily(
            "pilotage_engine_step_seconds", "Duration of an engine step.", labels=["worker"]
        )
        tokens = CounterMetricFamily(
            "pilotage_worker_generated_tokens",
            "Tokens that a worker has generated, counted as they come.",
            labels=["worker"],
        )
        for worker, steps in self._workers.items():
            cumulative = list(accumulate(steps.buckets))
            count.add_metric([worker], cumulative[-1])
            sequences.add_metric([worker], steps.sequences)
            seconds.add_metric([worker], list(zip(_BOUNDS, cumulative, strict=True)), steps.seconds)
            tokens.add_metric([worker], steps.tokens)
        yield count
        yield sequences
        yield seconds
        yield tokens
        yield CounterMetricFamily(
            "pilotage_generated_tokens",
            "Tokens that engines have generated, counted as they come.",
            value=sum(steps.tokens for steps in self._workers.values()),
        )


class _WorkerSteps:
    __slots__ = ("buckets", "seconds", "sequences", "tokens")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.sequences = 0
        self.tokens = 0
        self.buckets = [0] * len(_BOUNDS)
