"""Pilotage's own client, `pilotage.prove.run`, with one sender process.

Its parent collects the records while they come in; it keeps to the same cores as the sender, as
all processes of the other tools do.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Iterator

import msgspec
import numpy as np

from bench.known_answers import MODEL
from bench.load_peers.tool import Figures, Percentiles, Tool, Work, prompt
from bench.processes import keeping_to
from pilotage.prove.arrivals import constant, gamma, poisson
from pilotage.prove.load import ClosedLoop, Load, Schedule
from pilotage.prove.payload import Payload
from pilotage.prove.run import prepared, run
from pilotage.prove.target.endpoint import parse_endpoint

_TIMEOUT_S = 60.0


class _Prompts:
    description = "short prompts"

    def payloads(
        self, count: int, *, seed: int, prescribed: Schedule | None = None
    ) -> Iterator[Payload]:
        """See `pilotage.prove.payload.PayloadSource`."""
        del seed, prescribed
        for number in range(count):
            yield Payload(
                msgspec.json.encode(
                    {
                        "model": MODEL,
                        "messages": [{"role": "user", "content": prompt(number)}],
                        "stream": True,
                        "stream_options": {"include_usage": True},
                    }
                )
            )


def measure(base: str, work: Work, variant: str = "default") -> Figures:
    """See `Tool`."""
    del variant
    load = _load(work)
    endpoint = parse_endpoint(base, model=MODEL)
    start = 0.0

    def started(at: float) -> None:
        nonlocal start
        start = at

    with keeping_to(work.cpus), prepared(load, _Prompts(), seed=work.seed) as spool:
        trial = asyncio.run(
            run(endpoint, load, spool, timeout_s=_TIMEOUT_S, senders=1, on_start=started)
        )
    records = trial.measured
    return Figures(
        latency=Percentiles.of([record.e2e_s for record in records if record.complete]),
        failed=sum(not record.complete for record in records),
        due_s=np.array([start + record.scheduled_s for record in records]),
        sent_s=np.array([start + record.sent_s for record in records if record.sent_s is not None]),
        send_delay_s=np.array([record.send_delay_s for record in records]),
    )


def _load(work: Work) -> Load:
    if work.kind == "closed":
        return ClosedLoop(work.concurrency, work.duration_s)
    if work.kind == "constant":
        return constant(work.rate, work.duration_s)
    if work.kind == "gamma":
        return gamma(work.rate, work.duration_s, work.burstiness, work.seed)
    return poisson(work.rate, work.duration_s, work.seed)


TOOL = Tool(
    "pilotage",
    f"Pilotage {importlib.metadata.version('pilotage')}",
    lambda: None,
    measure,
)
