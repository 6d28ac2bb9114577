"""What many looks at a server come to: the server's side of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from pilotage.prove.result import ServerSample, ServerSide
from pilotage.prove.server_side.look import Counted, Look


def summarise(
    looks: Sequence[Look],
    *,
    source: str,
    start: float,
    from_s: float,
    to_s: float,
    missing: str | None = None,
) -> ServerSide:
    """The server's side of a run.

    Means of gauges are those of the looks within the measured part; means of what is counted
    (CPU, tokens, batch size, queue, time to first token) are differences over it, from the last
    look before it to the first one after it.

    Args:
        looks: In order of time.
        source: Address of the metrics; nothing secret in it.
        start: The run's start, on `time.monotonic`'s clock.
        from_s: Where the measured part begins, in seconds since the start.
        to_s: Where it ends.
        missing: Why there are no looks, if it is known.
    """
    if not looks:
        return ServerSide(source=source, missing=missing or "nobody has looked")
    samples = tuple(
        _sample(look, before, start)
        for before, look in pairwise((None, *looks))
        if look is not None and look.at >= start
    )
    measured = [sample for sample in samples if from_s <= sample.at <= to_s]
    around = _around(looks, start + from_s, start + to_s)
    return ServerSide(
        source=source,
        kind=looks[-1].kind,
        samples=samples,
        mean=_mean(measured, around, from_s) if measured else None,
        peak=_peak(measured, from_s) if measured else None,
        queue_mean=_mean_of(around, "queue"),
        ttft_mean=_mean_of(around, "ttft"),
        missing=None if measured else "no look fell into the measured part",
    )


def increase(looks: Sequence[Look], what: Counted) -> tuple[float, ...] | None:
    """By how much a counter, or sum and count of a histogram, grew over several looks.

    A series that fell belongs to a process that was started again, and counts from zero; one that
    was not there before has just begun. None if it was in no look, or there are not two.
    """
    growth: list[tuple[float, ...]] = []
    for before, after in pairwise(looks):
        earlier = before.counted.get(what, {})
        for labels, values in after.counted.get(what, {}).items():
            old = earlier.get(labels, ())
            fell = any(now < then for now, then in zip(values, old, strict=False))
            since = (0.0,) * len(values) if fell or not old else old
            growth.append(tuple(now - then for now, then in zip(values, since, strict=True)))
    if not growth:
        return None
    return tuple(sum(one) for one in zip(*growth, strict=True))


def _sample(look: Look, before: Look | None, start: float) -> ServerSample:
    since = (before, look) if before is not None else (look,)
    return ServerSample(
        at=look.at - start,
        running=look.running,
        waiting=look.waiting,
        batch_size=_batch_size(since),
        kv_usage=look.kv_usage,
        cpu=_rate(since, "cpu"),
        gpu=look.gpu,
        output_tokens_rate=_rate(since, "tokens"),
    )


def _around(looks: Sequence[Look], begin: float, end: float) -> Sequence[Look]:
    """The looks of a time span, with the ones just before and after it."""
    first = max((i for i, look in enumerate(looks) if look.at <= begin), default=0)
    last = min((i for i, look in enumerate(looks) if look.at >= end), default=len(looks) - 1)
    return looks[first : last + 1]


def _mean(measured: Sequence[ServerSample], around: Sequence[Look], at: float) -> ServerSample:
    def average(values: Iterable[float]) -> float:
        known = list(values)
        return sum(known) / len(known)

    batch_size = _batch_size(around)
    return ServerSample(
        at=at,
        running=_of(measured, "running", average),
        waiting=_of(measured, "waiting", average),
        batch_size=_of(measured, "batch_size", average) if batch_size is None else batch_size,
        kv_usage=_of(measured, "kv_usage", average),
        cpu=_rate(around, "cpu"),
        gpu=_of(measured, "gpu", average),
        output_tokens_rate=_rate(around, "tokens"),
    )


def _peak(measured: Sequence[ServerSample], at: float) -> ServerSample:
    return ServerSample(
        at=at,
        running=_of(measured, "running", max),
        waiting=_of(measured, "waiting", max),
        batch_size=_of(measured, "batch_size", max),
        kv_usage=_of(measured, "kv_usage", max),
        cpu=_of(measured, "cpu", max),
        gpu=_of(measured, "gpu", max),
        output_tokens_rate=_of(measured, "output_tokens_rate", max),
    )


def _of(
    samples: Sequence[ServerSample], field: str, combine: Callable[[Iterable[float]], float]
) -> float | None:
    known = [value for sample in samples if (value := getattr(sample, field)) is not None]
    return combine(known) if known else None


def _rate(looks: Sequence[Look], what: Counted) -> float | None:
    grown = increase(looks, what)
    span = looks[-1].at - looks[0].at
    return None if grown is None or span <= 0 else grown[0] / span


def _batch_size(looks: Sequence[Look]) -> float | None:
    steps, sequences = increase(looks, "steps"), increase(looks, "sequences")
    if steps is None or sequences is None:
        return looks[-1].batch_size
    return sequences[0] / steps[0] if steps[0] > 0 else None


def _mean_of(looks: Sequence[Look], what: Counted) -> float | None:
    grown = increase(looks, what)
    return None if grown is None or grown[1] <= 0 else grown[0] / grown[1]
