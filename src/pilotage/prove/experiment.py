"""A test from beginning to end: load on the wire, looks at the server, figures, a verdict."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from pilotage.errors import UsageError
from pilotage.prove.analysis.measures import measures, warm_up
from pilotage.prove.analysis.promise import promises
from pilotage.prove.analysis.series import series
from pilotage.prove.analysis.token_counts import Counts
from pilotage.prove.analysis.validity import LIMIT_SHARE, validity
from pilotage.prove.analysis.verdict import verdict
from pilotage.prove.client.spool import Spool
from pilotage.prove.guard import Guard, watched
from pilotage.prove.load import Load, PlannedLoad, Schedule
from pilotage.prove.payload import PayloadSource
from pilotage.prove.record import Record
from pilotage.prove.result import (
    Capacity,
    Measures,
    Point,
    ServerSide,
    Step,
    Validity,
    Verdict,
    WarmUp,
)
from pilotage.prove.run import Moment, Stop, prepared, run
from pilotage.prove.search import Bounds, find_capacity
from pilotage.prove.server_side.watch import ServerMetrics, metrics_url
from pilotage.prove.target.preflight import Preflight
from pilotage.prove.trial import Trial
from pilotage.tokens import Tokenizer

REQUESTS_TO_JUDGE: Final = 400
"""Requests with which a p99 can be shown to hold at 95 % confidence, if none is late (368 are
enough; with one late it takes 555)."""

_RECOVERY_S: Final = 2.0


class StoppedError(Exception):
    """The test was stopped before it had measured anything."""


class Watcher(Protocol):
    """Is told how a test goes: a screen."""

    def preparing(self, done: int, planned: int | None) -> None:
        """``done`` of ``planned`` requests are made; called from another thread."""
        ...

    def started(self, load: Load, warm_up_s: float) -> None:
        """A run begins."""
        ...

    def moment(self, moment: Moment) -> None:
        """The run goes on."""
        ...

    def step(self, step: Step) -> None:
        """A rate of a search was tried."""
        ...


@dataclass(frozen=True)
class Findings:
    """What a test found: everything of a report that does not depend on who reads it.

    Attributes:
        load: What was sent, when.
        trial: What came back.
        measures: The figures.
        verdict: Whether the SLO holds.
        validity: Whether the client kept up.
        warm_up: What was left out.
        series: The run over time.
        server: The server's side; None where it was not asked.
        capacity: Of a search.
        stopped: Why the test ended early, if it did.
    """

    load: Load
    trial: Trial
    measures: Measures
    verdict: Verdict
    validity: Validity
    warm_up: WarmUp | None
    series: tuple[Point, ...]
    server: ServerSide | None = None
    capacity: Capacity | None = None
    stopped: str | None = None

    @property
    def records(self) -> tuple[Record, ...]:
        """One a request."""
        return self.trial.records


@dataclass(frozen=True)
class Experiment:
    """How a test is done.

    Attributes:
        flight: What was found out about the endpoint.
        source: What is sent.
        slo: What is promised, in seconds, by names such as "ttft_p99"; may be empty.
        seed: Of prompts and arrivals.
        timeout_s: Longest time from a request's due time to the end of its answer.
        senders: Processes that send; chosen from the load if not given.
        confidence: Of intervals and findings.
        tokenizer: To count the answers' tokens; None to leave that to the server.
        tokenizer_name: Whose it is, for the report.
        metrics: Address of the server's metrics, or "" to not look; None for the usual one.
        gpu_metrics: Address of an exporter of the GPU's use, such as NVIDIA's dcgm-exporter.
        watcher: Is told how it goes.
        stop: Ends the test early.
    """

    flight: Preflight
    source: PayloadSource
    slo: dict[str, float]
    watcher: Watcher
    seed: int = 0
    timeout_s: float = 60.0
    senders: int | None = None
    confidence: float = 0.95
    tokenizer: Tokenizer | None = None
    tokenizer_name: str | None = None
    metrics: str | None = None
    gpu_metrics: str | None = None
    stop: Stop = field(default_factory=Stop)

    async def measure(self, planned: PlannedLoad) -> Findings:
        """Send a load and judge what comes back.

        Raises:
            PilotageError: The requests could not be made, or a sender process died.
            StoppedError: It was stopped before anything was sent.
        """
        trial, server = await self._trial(planned, self.seed, self.stop, self.watcher.moment)
        counts = await asyncio.to_thread(self._count, trial)
        return self._findings(planned.load, trial, server, counts, self.stop.reason)

    async def search(
        self, load_at: Callable[[float, int], PlannedLoad], bounds: Bounds
    ) -> Findings:
        """Find the highest rate that holds; the figures are those of that rate.

        Args:
            load_at: Makes the load of a rate, with a seed of its own: the same prompts again
                would be answered from the server's cache.
            bounds: Where to look.

        Raises:
            UsageError: There is no SLO, so nothing that could hold.
            PilotageError: As `measure`.
            StoppedError: As `measure`.
        """
        if not self.slo:
            raise UsageError(
                "a search needs to know what should hold",
                where="--find-capacity",
                hint="Promise something: --ttft-p99 500ms, or an slo: section in the spec",
            )
        unseen = [name for name in self.slo if not name.startswith("e2e")]
        if unseen and not self.flight.stream:
            raise UsageError(
                f"without streams nobody sees whether {', '.join(unseen)} holds",
                where="--find-capacity",
                hint="Leave --no-stream out, or promise the end-to-end latency alone: --e2e-p99 5s",
            )
        tried: dict[float, Findings] = {}

        async def attempt(rate: float) -> Step:
            seed = self.seed + len(tried)
            step, found = await self._attempt(rate, load_at(rate, seed), seed)
            tried[rate] = found
            self.watcher.step(step)
            if self.stop.reason is not None:
                raise StoppedError
            return step

        steps: Capacity | None = None
        with contextlib.suppress(StoppedError):
            steps = await find_capacity(attempt, bounds)
        if not tried:
            raise StoppedError
        if steps is None:
            return self._unfinished(tried)
        shown = steps.rate if steps.rate is not None else steps.broken_at
        chosen = tried[shown if shown is not None else steps.steps[-1].rate]
        return replace(chosen, capacity=steps)

    async def _attempt(self, rate: float, planned: PlannedLoad, seed: int) -> tuple[Step, Findings]:
        stop = Stop()
        guard = Guard(self.slo, planned, self.confidence, stop, stream=self.flight.stream)

        def moment(now: Moment) -> None:
            if self.stop.reason is not None:
                stop.now(self.stop.reason)
            guard.see(now)
            self.watcher.moment(now)

        trial, server = await self._trial(planned, seed, stop, moment)
        found = self._findings(planned.load, trial, server, None, self.stop.reason)
        step = Step(
            rate=rate,
            measures=found.measures,
            verdict=found.verdict,
            valid=found.validity.valid
            or (guard.reason is not None and self._client_is_innocent(found.validity)),
            stopped_early=guard.reason,
            holds=guard.reason is None and found.validity.valid and _within(found.verdict),
        )
        if guard.reason is not None:
            await asyncio.sleep(_RECOVERY_S)
        return step, found

    def _client_is_innocent(self, sound: Validity) -> bool:
        """Whether the server was late by itself in a step that was ended for it.

        The median, to which the client's delay is held else, is that of the few answers there
        were, or of none. What counts here is the delay's share of what is promised.
        """
        target = min(promise.target for promise in promises(self.slo))
        delay = sound.send_delay.p99 if sound.send_delay is not None else 0.0
        return max(delay, sound.loop_lag_p99 or 0.0) <= max(
            sound.limit or 0.0, LIMIT_SHARE * target
        )

    def _unfinished(self, tried: dict[float, Findings]) -> Findings:
        """What is known when a search was stopped: the steps before, and what the last one saw."""
        *whole, last = tried.items()
        steps = tuple(
            Step(
                rate=rate,
                measures=found.measures,
                verdict=found.verdict,
                valid=found.validity.valid,
                holds=found.validity.valid and _within(found.verdict),
            )
            for rate, found in whole
        )
        held = [step.rate for step in steps if step.holds]
        broken = [step.rate for step in steps if not step.holds and step.valid]
        capacity = Capacity(
            rate=max(held, default=None),
            broken_at=min(broken, default=None),
            steps=steps,
            sentence="the search was stopped before its end",
        )
        shown = last[1] if not held else tried[max(held)]
        return replace(shown, capacity=capacity, stopped=self.stop.reason)

    async def _trial(
        self, planned: PlannedLoad, seed: int, stop: Stop, moment: Callable[[Moment], None]
    ) -> tuple[Trial, ServerSide | None]:
        load, warm_up_s = planned.load, planned.warm_up_s
        limit = watched(promises(self.slo), stream=self.flight.stream)
        first_token = limit is not None and limit.metric == "ttft"
        requests = len(load) if isinstance(load, Schedule) else load.requests
        started = 0.0

        def preparing(done: int) -> None:
            if stop.reason is not None:
                raise StoppedError
            self.watcher.preparing(done, requests)

        def begins(at: float) -> None:
            nonlocal started
            started = at
            self.watcher.started(load, warm_up_s)

        async with _spooled(load, self.source, seed, preparing) as spool, self._looking() as looks:
            trial = await run(
                self.flight.endpoint,
                load,
                spool,
                timeout_s=self.timeout_s,
                warm_up_s=warm_up_s,
                senders=self.senders,
                keep_text=self.tokenizer is not None,
                first_token_by_s=limit.target if limit and first_token else None,
                end_by_s=limit.target if limit and not first_token else None,
                on_start=begins,
                on_moment=moment,
                stop=stop,
            )
            if looks is not None:
                await looks.look()
        server = None
        if looks is not None:
            server = looks.summary(start=started, from_s=warm_up_s, to_s=trial.due_s)
        return trial, server

    @contextlib.asynccontextmanager
    async def _looking(self) -> AsyncIterator[ServerMetrics | None]:
        """Looks at the server's metrics while the context is open."""
        if self.metrics == "":
            yield None
            return
        endpoint = self.flight.endpoint
        own = metrics_url(f"{endpoint.origin}{endpoint.prefix}")
        # The key is for its own server only.
        key = endpoint.headers.get("Authorization") if self.metrics in {None, own} else None
        headers = {"Authorization": key} if key else {}
        looks = ServerMetrics(self.metrics or own, headers, gpu_url=self.gpu_metrics)
        watching = asyncio.ensure_future(looks.watch())
        try:
            yield looks
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    def _count(self, trial: Trial) -> Counts | None:
        """Tokens of the answers' texts by our own tokenizer."""
        if self.tokenizer is None:
            return None
        return {
            record.index: len(self.tokenizer.encode(record.text, add_special_tokens=False))
            for record in trial.records
            if record.complete and record.text is not None
        }

    def _findings(
        self,
        load: Load,
        trial: Trial,
        server: ServerSide | None,
        counts: Counts | None,
        stopped: str | None,
    ) -> Findings:
        sound = validity(trial)
        return Findings(
            load=load,
            trial=trial,
            measures=measures(
                trial,
                slo=self.slo,
                confidence=self.confidence,
                tokenizer_counts=counts,
                tokenizer=self.tokenizer_name,
            ),
            verdict=verdict(trial, slo=self.slo, validity=sound, confidence=self.confidence),
            validity=sound,
            warm_up=warm_up(trial),
            series=series(trial, slo=self.slo, tokenizer_counts=counts),
            server=server,
            stopped=stopped,
        )


def _within(found: Verdict) -> bool:
    """Whether every promise is kept in the sample, whatever the confidence."""
    return bool(found.objectives) and all(
        objective.total > 0 and objective.late <= (1 - objective.quantile) * objective.total + 1e-9
        for objective in found.objectives
    )


@contextlib.asynccontextmanager
async def _spooled(
    load: Load, source: PayloadSource, seed: int, progress: Callable[[int], None]
) -> AsyncIterator[Spool]:
    """`prepared`, in a thread, so that a stop is heard meanwhile."""
    context = prepared(load, source, seed=seed, progress=progress)
    spool = await asyncio.to_thread(context.__enter__)
    try:
        yield spool
    finally:
        context.__exit__(None, None, None)


def default_duration_s(rate: float) -> float:
    """Seconds of a run at ``rate`` that give `REQUESTS_TO_JUDGE`: from 20 s to 10 minutes."""
    return min(600.0, max(20.0, math.ceil(REQUESTS_TO_JUDGE * 1.1 / rate)))


def default_warm_up_s(duration_s: float) -> float:
    """A tenth of the run, from 1 s to 10 s."""
    return min(10.0, max(1.0, duration_s / 10))
