"""Trials made by hand: a request a tenth of a second unless told otherwise."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pilotage.prove.record import Record, SenderStats
from pilotage.prove.trial import Trial

FAILED = float("inf")


def record(index: int = 0, *, at: float | None = None, took: float = 0.1, **fields: Any) -> Record:
    """A complete answer after ``took`` seconds that was not streamed; FAILED for a 500."""
    due = index / 10 if at is None else at
    if took == FAILED:
        fields = {"outcome": "server_error", "status": 500, "error": "boom", **fields}
        took = 0.01
    values: dict[str, Any] = {
        "index": index,
        "scheduled_s": due,
        "started_s": due,
        "sent_s": due,
        "first_token_s": None,
        "last_token_s": None,
        "end_s": due + took,
        "outcome": "complete",
        "status": 200,
        **fields,
    }
    return Record(**values)


def streamed(
    index: int = 0,
    *,
    at: float | None = None,
    first: float,
    tpot: float,
    tokens: int,
    **fields: Any,
) -> Record:
    """A stream with its first token after ``first`` and then one every ``tpot`` seconds."""
    due = index / 10 if at is None else at
    last = first + tpot * (tokens - 1)
    values: dict[str, Any] = {
        "first_token_s": due + first,
        "last_token_s": due + last,
        "completion_tokens": tokens,
        "chunks": tokens,
        "gaps": np.full(tokens - 1, tpot, dtype="<f4").tobytes(),
        **fields,
    }
    return record(index, at=due, took=last, **values)


def trial(
    records: Sequence[Record], *, due_s: float | None = None, warm_up_s: float = 0.0, **fields: Any
) -> Trial:
    """A run of ``records`` without a delay of the sender."""
    return Trial(
        records=tuple(records),
        senders=fields.pop("senders", (sender(),)),
        due_s=len(records) / 10 if due_s is None else due_s,
        warm_up_s=warm_up_s,
        open_loop=fields.pop("open_loop", True),
        **fields,
    )


def of_latencies(latencies: Iterable[float], **fields: Any) -> Trial:
    """A run whose requests took ``latencies``; FAILED for one that failed."""
    return trial([record(index, took=took) for index, took in enumerate(latencies)], **fields)


def sender(lag: float = 0.0005, cpu: float = 0.2, number: int = 0) -> SenderStats:
    return SenderStats(
        sender=number,
        cpu_s=cpu * 10,
        elapsed_s=10,
        loop_lag_p50_s=lag / 10,
        loop_lag_p99_s=lag,
        loop_lag_max_s=lag * 2,
        connections=1,
    )
