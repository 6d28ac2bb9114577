"""The dispatcher: one queue in front of the replicas of a model.

Requests wait here, not in the workers, so that a worker that dies takes no queue with it. A slot
is free again when the engine says that it has let go of a sequence, never earlier.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal

from pilotage.engines.engine import EngineInfo, EngineOutput
from pilotage.serve.absence import DEFAULT_LOAD_S, Absence
from pilotage.serve.active import ActiveGeneration, Phase
from pilotage.serve.admission import CompletionLengths, Verdict, WorkerLoad, assess
from pilotage.serve.generation import (
    Generation,
    GenerationFailed,
    Overloaded,
    SubmitRequest,
    Unavailable,
)
from pilotage.serve.link import Step
from pilotage.serve.models.replica import Replica
from pilotage.serve.replica_choice import ReplicaChoice, replica_key

MAX_ATTEMPTS: Final = 3
"""Workers a request may be given to; one that outlived three is likely what kills them."""

_TICK_S: Final = 0.05
_MOST_WAITING: Final = 4096
"""Sequences that may wait for a model to be loaded; nobody knows yet how fast it will be."""

_log = logging.getLogger("pilotage.gateway")

PoolHealth = Literal["loading", "ready", "stalled", "draining"]


@dataclass(frozen=True, slots=True)
class PoolState:
    """A snapshot for health, metrics and logs."""

    state: PoolHealth
    queued_requests: int
    queued_tokens: int
    running: int
    workers: tuple[Replica, ...]
    retries: int


class WorkerPool:
    """Implements `pilotage.serve.generation.Dispatcher` over the replicas of one model.

    Args:
        ttft_target_s: What admission holds.
        queue_timeout_s: Longest wait in the queue; then the request is shed.
        stalled_after_s: Without a sign of life for so long, a worker counts as not there.
        placed: Numbers of the workers that have the model, or can get it.
        on_step: Told of every step (worker index, seconds, running, new tokens), for metrics.
        on_wanted: Called when a request comes for a model that is not loaded (on the worker that
            it names). Says when loading is given up, or raises `GenerationFailed`.

    Attributes:
        draining: Whether the server stops, and nothing new is taken.
        unloaded: Whether no worker has the model, or is about to have it again by itself.
        loading_until: While it is being loaded on demand: when that is given up, on the event
            loop's clock.
        last_used: When the last request came, on that clock.
    """

    def __init__(
        self,
        *,
        ttft_target_s: float,
        queue_timeout_s: float,
        stalled_after_s: float,
        placed: Collection[int] = (0,),
        on_step: Callable[[int, float, int, int], None] | None = None,
        on_wanted: Callable[[], float] | None = None,
    ) -> None:
        self._replicas: tuple[Replica, ...] = ()
        self._ttft_target_s = ttft_target_s
        self._queue_timeout_s = queue_timeout_s
        self._stalled_after_s = stalled_after_s
        self._placed = frozenset(placed)
        self._on_step = on_step
        self._on_wanted = on_wanted
        self._queue: deque[ActiveGeneration] = deque()
        self._lengths = CompletionLengths()
        self._choice = ReplicaChoice(self._lengths)
        self._numbers = count(1)
        self._last_number = 0
        self._was_ready = False
        self._absence = Absence(max(ttft_target_s, queue_timeout_s))
        self._retries = 0
        self.draining = False
        self.unloaded = False
        self.loading_until: float | None = None
        self.last_used: float | None = None

    # What the API asks ------------------------------------------------------------------------

    def submit(self, requests: list[SubmitRequest]) -> list[Generation]:
        """Admit all or none; see `pilotage.serve.generation.Dispatcher`."""
        now = asyncio.get_running_loop().time()
        patient, shed_at = self._admit(requests, now)
        generations = [
            ActiveGeneration(next(self._numbers), request, now, self._cancel)
            for request in requests
        ]
        for generation in generations:
            generation.patient = patient
            generation.shed_at = shed_at
        self._last_number = generations[-1].id if generations else self._last_number
        self._queue.extend(generations)
        self._dispatch()
        return list(generations)

    def check(self, requests: list[SubmitRequest]) -> None:
        """See `pilotage.serve.generation.Dispatcher`."""
        self._admit(requests, asyncio.get_running_loop().time())

    def _admit(self, requests: list[SubmitRequest], now: float) -> tuple[bool, float]:
        """Whether the requests may take longer than the target, and when they are shed.

        Raises:
            GenerationFailed: They are not taken.
        """
        self._refuse_if_draining()
        worker = self._asked_worker(requests)
        self.last_used = now
        replicas = [
            replica
            for replica in self._replicas
            if replica.up and not replica.leaving and worker in (None, replica.worker)
        ]
        if not replicas:
            return False, self._wait_for_replica(requests, worker, now)
        loads = [replica.load(self._lengths) for replica in replicas]
        verdict = self._assess(loads, requests, self._ttft_target_s)
        # Admitted although it takes long, since nothing is before it: then it is not shed.
        return verdict.ttft_s > self._ttft_target_s, now + self._queue_timeout_s

    def _assess(
        self, loads: list[WorkerLoad], requests: list[SubmitRequest], target_s: float
    ) -> Verdict:
        verdict = assess(
            loads,
            queued_requests=len(self._queue),
            queued_tokens=self._queued_tokens(),
            new_requests=len(requests),
            new_tokens=sum(len(request.prompt_ids) for request in requests),
            ttft_target_s=target_s,
        )
        if not verdict.admitted:
            raise Overloaded(
                f"the server is at capacity: the first token would come after "
                f"{verdict.ttft_s:.1f} s, the target is {self._ttft_target_s:g} s",
                retry_after_s=verdict.retry_after_s,
            )
        return verdict

    def info(self) -> EngineInfo | None:
        """What a worker can hold, as last told; None before the first was ready."""
        return self._absence.info

    def state(self) -> PoolState:
        """A snapshot."""
        return PoolState(
            state=self._state(),
            queued_requests=len(self._queue),
            queued_tokens=self._queued_tokens(),
            running=sum(len(replica.held) for replica in self._replicas),
            workers=self._replicas,
            retries=self._retries,
        )

    @property
    def busy(self) -> bool:
        """Whether anything waits or runs."""
        return bool(self._queue) or any(replica.held for replica in self._replicas)

    def retire(self, replicas: Collection[Replica]) -> None:
        """Let replicas finish what has come so far, and take nothing that comes from now on."""
        for replica in replicas:
            replica.cutoff = self._last_number

    def stay(self, replicas: Collection[Replica]) -> None:
        """They are not closed after all."""
        for replica in replicas:
            replica.cutoff = None
        self._dispatch()

    def finished(self, replicas: Collection[Replica]) -> bool:
        """Whether retired replicas have nothing left to do."""
        if any(replica.held for replica in replicas):
            return False
        if any(replica.up and not replica.leaving for replica in self._replicas):
            return True  # others do what waits
        last = max((replica.cutoff or 0 for replica in replicas if replica.up), default=0)
        return all(generation.id > last for generation in self._queue)

    def fail_waiting(self, failure: GenerationFailed, worker: int | None = None) -> None:
        """The model cannot be loaded (on this worker): end what waits for it."""
        waiting, self._queue = self._queue, deque()
        for generation in waiting:
            if worker is None or generation.request.worker == worker:
                generation.fail(failure)
            else:
                self._queue.append(generation)

    async def run(self) -> None:
        """Keep the queue moving, for as long as the gateway lives."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(_TICK_S)
            if self._queue:
                self._shed_late(clock())

    # What the replicas tell -------------------------------------------------------------------

    def on_up(self, replica: Replica) -> None:
        """A replica is ready."""
        now = asyncio.get_running_loop().time()
        others = [other for other in self._replicas if other is not replica]
        self._replicas = tuple(sorted([*others, replica], key=replica_key))
        if self.loading_until is not None:
            self.loading_until = None
            for generation in self._queue:  # what they waited so far was for the model
                generation.queued_at = now
                generation.shed_at = now + self._queue_timeout_s
        self._was_ready = True
        self._absence.ended(replica.info, now)
        self._dispatch()

    def on_step(self, replica: Replica, step: Step) -> None:
        """Hand out a step's tokens, and its freed slots."""
        freed = False
        new_tokens = ended = 0
        for output in step.outputs:
            new_tokens += len(output.token_ids)
            ended += output.finish_reason in ("stop", "length")
            generation = replica.held.get(output.id)
            if generation is None:
                continue
            if output.finish_reason is not None:
                del replica.held[output.id]
                freed = True
            self._pass_on(generation, output)
        if step.duration_s and self._on_step is not None:
            # Those that ended with the step were in it.
            self._on_step(replica.worker, step.duration_s, step.running + ended, new_tokens)
        if freed:
            self._dispatch()

    def on_down(self, replica: Replica) -> None:
        """A worker is gone: what it held begins anew, or ends with an error."""
        held = sorted(replica.held.values(), key=lambda generation: generation.id, reverse=True)
        replica.held.clear()
        if not any(other.up for other in self._replicas):
            self._absence.began(asyncio.get_running_loop().time())
        self._choice.forget(replica)
        for waiting in self._queue:
            waiting.patient = True
        for generation in held:
            if generation.cancelled:
                generation.phase = Phase.ENDED
            elif generation.read and not generation.request.restartable:
                generation.fail(
                    GenerationFailed(
                        "the worker that generated this answer died; send the request again",
                        status=502,
                        code="worker_died",
                    )
                )
            elif generation.attempts >= MAX_ATTEMPTS:
                generation.fail(
                    GenerationFailed(
                        f"{generation.attempts} workers died while they ran this request",
                        status=500,
                        code="worker_died",
                    )
                )
            else:
                self._retries += 1
                generation.begin_anew()
                self._queue.appendleft(generation)
        if held:
            _log.warning("worker %d died holding %d requests", replica.worker, len(held))
        self._dispatch()

    def on_closed(self, replica: Replica) -> None:
        """A replica will not come back."""
        self._replicas = tuple(other for other in self._replicas if other is not replica)
        self._choice.forget(replica)

    # Inside -----------------------------------------------------------------------------------

    def _pass_on(self, generation: ActiveGeneration, output: EngineOutput) -> None:
        if output.finish_reason is not None:
            generation.phase = Phase.ENDED
            if output.finish_reason in ("stop", "length"):
                self._lengths.ended(generation.generated + len(output.token_ids))
        if generation.cancelled:
            return
        if output.finish_reason == "error":
            generation.fail(
                GenerationFailed(
                    f"the engine refused the request: {output.error}",
                    status=400,
                    code="engine_refused",
                )
            )
        else:
            generation.deliver(output)

    def _dispatch(self) -> None:
        """Give the head of the queue to the replicas while they have room."""
        now = asyncio.get_running_loop().time()
        passed: list[ActiveGeneration] = []
        closed: set[int] = set()
        while self._queue:
            generation = self._queue[0]
            if generation.cancelled:
                self._queue.popleft()
                continue
            replica = self._choice.best(generation, self._replicas, now, closed)
            if replica is not None:
                self._queue.popleft()
                generation.dispatched()
                replica.give(generation)
            elif generation.request.worker is None:
                break
            else:
                # It waits for one worker alone: others may pass it, but not to that worker.
                closed.add(generation.request.worker)
                passed.append(self._queue.popleft())
        self._queue.extendleft(reversed(passed))

    def _cancel(self, generation: ActiveGeneration) -> None:
        if generation.phase is Phase.QUEUED:
            generation.phase = Phase.ENDED
            self._queue.remove(generation)
            self._dispatch()  # what had to wait behind it may fit
            return
        for replica in self._replicas:
            if generation.id in replica.held:
                replica.take_back(generation)

    def _shed_late(self, now: float) -> None:
        """Answer those that have waited too long, while there is still somebody to answer."""
        late = [g for g in self._queue if g.shed_at < now and not g.patient]
        if not late:
            return
        gone = set(map(id, late))
        self._queue = deque(g for g in self._queue if id(g) not in gone)
        for generation in late:
            generation.fail(
                Unavailable(
                    "the model was not loaded in time",
                    retry_after_s=DEFAULT_LOAD_S,
                    code="model_loading",
                )
                if self.loading_until is not None
                else Overloaded(
                    f"the request waited {now - generation.queued_at:.1f} s without a free slot",
                    retry_after_s=self._ttft_target_s,
                )
            )
        self._dispatch()

    def _queued_tokens(self) -> int:
        return sum(generation.prompt_tokens for generation in self._queue)

    def _refuse_if_draining(self) -> None:
        if self.draining:
            raise Unavailable(
                "the server is shutting down", retry_after_s=None, code="server_draining"
            )

    def _asked_worker(self, requests: list[SubmitRequest]) -> int | None:
        """The worker that shall run them all; None for any."""
        worker = requests[0].worker if requests else None
        if worker is not None and worker not in self._placed:
            raise GenerationFailed(
                f"there is no worker {worker} that holds the model; those that do: "
                + ", ".join(map(str, sorted(self._placed))),
                status=404,
                code="worker_not_found",
            )
        return worker

    def _wait_for_replica(
        self, requests: list[SubmitRequest], worker: int | None, now: float
    ) -> float:
        """Whether to queue requests that no replica can take at present.

        Returns:
            When they are shed.

        Raises:
            Unavailable: There will be none soon enough.
            Overloaded: Too much waits already.
        """
        since = self._absence.since(self._replicas, worker)
        until = self.loading_until
        absent = worker is not None and since is None and self._was_ready
        if self._on_wanted is not None and (self.unloaded or absent):
            until = self._on_wanted()
        if until is not None:
            if len(self._queue) + len(requests) > _MOST_WAITING:
                raise Overloaded(
                    "too many requests wait for the model to be loaded",
                    retry_after_s=DEFAULT_LOAD_S,
                )
            return until
        coming, left = self._absence.expected(since, now)
        longest = self._absence.longest_s
        self._assess([coming], requests, longest - max(0.0, left))
        return now + longest

    def _state(self) -> PoolHealth:
        if self.draining:
            return "draining"
        if not self._was_ready:
            return "loading"
        oldest = asyncio.get_running_loop().time() - self._stalled_after_s
        alive = any(replica.up and replica.last_sign > oldest for replica in self._replicas)
        return "ready" if alive else "stalled"
