"""One look at a server's ``/metrics``: from Prometheus text to the few numbers that matter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, Literal

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from pilotage.prove.server_side.names import (
    CPU_SECONDS,
    DIALECTS,
    GPU_USE,
    OTHER,
    WANTED,
    Dialect,
    Names,
)

Counted = Literal["cpu", "tokens", "steps", "sequences", "queue", "ttft"]
"""What only grows while a server lives. Queue and ttft are histograms: (seconds, requests)."""

Labels = tuple[tuple[str, str], ...]
Series = Mapping[Labels, tuple[float, ...]]

_NAME: Final = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*(?=[ \t{])")
_MAX_SAMPLES: Final = 5_000
"""Many more than any server has of what is wanted here; parsed in about 0.15 s."""

_COPIES: Final = ("tp_rank", "pp_rank")
"""Ranks of tensor and pipeline parallelism work on the same requests; only the first counts."""


class NotMetricsError(ValueError):
    """A text is not metrics, or has none that are known; its message says which."""


@dataclass(frozen=True)
class Look:
    """What a server said at one moment. None where it does not say.

    Attributes:
        at: When, on `time.monotonic`'s clock.
        kind: Whose names were found; None if they are nobody's in particular.
        running: Requests that are being generated.
        waiting: Requests that wait.
        kv_usage: Share of the KV cache in use, 0 to 1.
        batch_size: Sequences in a step, where the server gives it as a number of its own.
        gpu: Share of GPU time in use, 0 to 1, the mean of the GPUs.
        counted: Counters by series, for the differences between looks.
    """

    at: float
    kind: str | None = None
    running: float | None = None
    waiting: float | None = None
    kv_usage: float | None = None
    batch_size: float | None = None
    gpu: float | None = None
    counted: Mapping[Counted, Series] = field(default_factory=dict)


def read_look(text: str, at: float) -> Look:
    """Read metrics in Prometheus text format.

    Args:
        text: What ``/metrics`` answered.
        at: When, on `time.monotonic`'s clock.

    Raises:
        NotMetricsError: It is something else, or nothing in it is known.
    """
    samples = _samples(text)
    dialect = next(
        (one for one in DIALECTS if any(name.startswith(one.prefix) for name in samples)), OTHER
    )
    return Look(
        at=at,
        kind=dialect.name,
        running=_gauge(samples, dialect.running, sum),
        waiting=_gauge(samples, dialect.waiting, sum),
        kv_usage=_gauge(samples, dialect.kv_usage, _mean),
        batch_size=_gauge(samples, dialect.batch_size, sum),
        gpu=_gpu(samples),
        counted=_counted(samples, dialect),
    )


def _samples(text: str) -> dict[str, list[Sample]]:
    """The samples that are of use, by name.

    Only their lines are given to the parser, which takes some 30 µs a line on the loop that also
    draws the live view: most of what servers tell are buckets and comments.
    """
    kept = []
    any_sample = False
    for line in text.split("\n"):
        match = _NAME.match(line)
        if match is not None:
            any_sample = True
            if _plain(match[0]) in WANTED:
                kept.append(line.replace(match[0], _plain(match[0]), 1))
    if not kept:
        if any_sample and not text.lstrip().startswith(("<", "{")):
            raise NotMetricsError("none of its metrics are known here")
        raise NotMetricsError("the answer is not Prometheus text")
    if len(kept) > _MAX_SAMPLES:
        raise NotMetricsError(f"it has {len(kept):,} series where a few are expected")
    samples: dict[str, list[Sample]] = {}
    try:
        for family in text_string_to_metric_families("\n".join(kept) + "\n"):
            for sample in family.samples:
                if isfinite(sample.value) and not _is_copy(sample):
                    samples.setdefault(sample.name, []).append(sample)
    except (ValueError, IndexError, KeyError) as error:
        raise NotMetricsError("the answer is not Prometheus text") from error
    if not samples:
        raise NotMetricsError("its metrics have no values")
    return samples


def _plain(name: str) -> str:
    return name.replace(":", "_")


def _is_copy(sample: Sample) -> bool:
    return any(sample.labels.get(rank, "0") != "0" for rank in _COPIES)


def _present(samples: Mapping[str, list[Sample]], names: Names) -> list[Sample]:
    """The samples of the first of the names that is there."""
    return next((samples[name] for name in names if name in samples), [])


def _gauge(
    samples: Mapping[str, list[Sample]], names: Names, combine: Callable[[list[float]], float]
) -> float | None:
    """One number for all series of a gauge: those of several engines or workers."""
    values = [sample.value for sample in _present(samples, names)]
    return combine(values) if values else None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _gpu(samples: Mapping[str, list[Sample]]) -> float | None:
    for name, factor in GPU_USE.items():
        if name in samples:
            return factor * _mean([sample.value for sample in samples[name]])
    return None


def _counted(samples: Mapping[str, list[Sample]], dialect: Dialect) -> dict[Counted, Series]:
    counters: dict[Counted, Names] = {"cpu": CPU_SECONDS, "tokens": dialect.tokens}
    if not _present(samples, dialect.confusing):
        counters |= {"steps": dialect.steps, "sequences": dialect.sequences}
    counted: dict[Counted, Series] = {
        what: {_labels(sample): (sample.value,) for sample in found}
        for what, names in counters.items()
        if (found := _present(samples, names))
    }
    histograms: dict[Counted, Names] = {"queue": dialect.queue, "ttft": dialect.ttft}
    for what, names in histograms.items():
        sums = _present(samples, tuple(f"{name}_sum" for name in names))
        counts = {
            _labels(sample): sample.value
            for sample in _present(samples, tuple(f"{name}_count" for name in names))
        }
        series = {
            key: (sample.value, counts[key])
            for sample in sums
            if (key := _labels(sample)) in counts
        }
        if series:
            counted[what] = series
    return counted


def _labels(sample: Sample) -> Labels:
    return tuple(sorted(sample.labels.items()))
