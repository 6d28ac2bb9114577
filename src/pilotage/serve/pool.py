"""The dispatcher: one queue in front of the workers of a model.

Requests wait here, not in the workers, so that a worker that dies takes no queue with it. A slot
is free again when the engine says that it has let go of a sequence, never earlier.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal

from pilotage.engines.engine import EngineInfo, EngineOutput
from pilotage.serve.active import ActiveGeneration, Phase
from pilotage.serve.admission import CompletionLengths, assess
from pilotage.serve.generation import (
    Generation,
    GenerationFailed,
    Overloaded,
    SubmitRequest,
    Unavailable,
)
from pilotage.serve.link import Step
from pilotage.serve.worker_link import WorkerLink

MAX_ATTEMPTS: Final = 3
"""Workers a request may be given to; one that outlived three is likely what kills them."""

_TICK_S: Final = 0.05
_DEFAULT_LOAD_S: Final = 10.0
_QUIET_S: Final = 3.0
_log = logging.getLogger("pilotage.gateway")

PoolHealth = Literal["loading", "ready", "stalled", "draining"]


@dataclass(frozen=True, slots=True)
class PoolState:
    """A snapshot for health, metrics and logs."""

    state: PoolHealth
    queued_requests: int
    queued_tokens: int
    running: int
    workers: tuple[WorkerLink, ...]
    retries: int


class WorkerPool:
    """Implements `pilotage.serve.generation.Dispatcher` over one or more workers.

    Args:
        sockets: The workers' sockets, in the order of their numbers.
        ttft_target_s: What admission holds.
        queue_timeout_s: Longest wait in the queue; then the request is shed.
        stalled_after_s: Without a sign of life for so long, a worker counts as not there.
        on_step: Told of every step (worker index, seconds, running, new tokens), for metrics.
    """

    def __init__(
        self,
        sockets: Sequence[str],
        *,
        ttft_target_s: float,
        queue_timeout_s: float,
        stalled_after_s: float,
        on_step: Callable[[int, float, int, int], None] | None = None,
    ) -> None:
        self._links = tuple(WorkerLink(i, socket, self) for i, socket in enumerate(sockets))
        self._ttft_target_s = ttft_target_s
        self._queue_timeout_s = queue_timeout_s
        self._stalled_after_s = stalled_after_s
        self._on_step = on_step
        self._queue: deque[ActiveGeneration] = deque()
        self._lengths = CompletionLengths()
        self._numbers = count(1)
        self._was_ready = False
        self._down_since: float | None = None
        self._last_info: EngineInfo | None = None
        self._retries = 0
        self.draining = False

    # What the API asks ------------------------------------------------------------------------

    def submit(self, requests: list[SubmitRequest]) -> list[Generation]:
        """Admit all or none; see `pilotage.serve.generation.Dispatcher`."""
        links = self._admitting_links()
        verdict = assess(
            [link.load(self._lengths) for link in links],
            queued_requests=len(self._queue),
            queued_tokens=self._queued_tokens(),
            new_requests=len(requests),
            new_tokens=sum(len(request.prompt_ids) for request in requests),
            ttft_target_s=self._ttft_target_s,
        )
        if not verdict.admitted:
            raise Overloaded(
                f"the server is at capacity: the first token would come after "
                f"{verdict.ttft_s:.1f} s, the target is {self._ttft_target_s:g} s",
                retry_after_s=verdict.retry_after_s,
            )
        now = asyncio.get_running_loop().time()
        generations = [
            ActiveGeneration(next(self._numbers), request, now, self._cancel)
            for request in requests
        ]
        self._queue.extend(generations)
        self._dispatch()
        return list(generations)

    def info(self) -> EngineInfo | None:
        """What a worker can hold, as last told; None before the first was ready."""
        return self._last_info

    def state(self) -> PoolState:
        """A snapshot."""
        return PoolState(
            state=self._state(),
            queued_requests=len(self._queue),
            queued_tokens=self._queued_tokens(),
            running=sum(len(link.held) for link in self._links),
            workers=self._links,
            retries=self._retries,
        )

    async def run(self) -> None:
        """Keep the links up and the queue moving, for as long as the gateway lives."""
        async with asyncio.TaskGroup() as tasks:
            for link in self._links:
                tasks.create_task(link.run())
            tasks.create_task(self._shed_late())

    # What the links tell ----------------------------------------------------------------------

    def on_up(self, link: WorkerLink) -> None:
        """A worker is ready."""
        self._was_ready = True
        self._down_since = None
        self._last_info = link.info
        self._dispatch()

    def on_step(self, link: WorkerLink, step: Step) -> None:
        """Hand out a step's tokens, and its freed slots."""
        freed = False
        new_tokens = ended = 0
        for output in step.outputs:
            new_tokens += len(output.token_ids)
            ended += output.finish_reason in ("stop", "length")
            generation = link.held.get(output.id)
            if generation is None:
                continue
            if output.finish_reason is not None:
                del link.held[output.id]
                freed = True
            self._pass_on(generation, output)
        if step.duration_s and self._on_step is not None:
            # Those that ended with the step were in it.
            self._on_step(link.index, step.duration_s, step.running + ended, new_tokens)
        if freed:
            self._dispatch()

    def on_down(self, link: WorkerLink) -> None:
        """A worker is gone: what it held begins anew, or ends with an error."""
        held = sorted(link.held.values(), key=lambda generation: generation.id, reverse=True)
        link.held.clear()
        if not any(other.up for other in self._links):
            self._down_since = asyncio.get_running_loop().time()
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
            _log.warning("worker %d died holding %d requests", link.index, len(held))
        self._dispatch()

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
        """Give the head of the queue to the workers while they have room."""
        now = asyncio.get_running_loop().time()
        while self._queue:
            generation = self._queue[0]
            if generation.cancelled:
                self._queue.popleft()
                continue
            link = self._best_link(generation, now)
            if link is None:
                return
            self._queue.popleft()
            generation.dispatched()
            link.give(generation)

    def _best_link(self, generation: ActiveGeneration, now: float) -> WorkerLink | None:
        """The worker with most free slots, quiet ones last; None when no one has room."""
        best: WorkerLink | None = None
        for link in self._links:
            if not link.free_slots or not link.has_room(generation, self._lengths):
                continue
            if best is None or self._rank(link, now) < self._rank(best, now):
                best = link
        return best

    def _rank(self, link: WorkerLink, now: float) -> tuple[bool, float]:
        assert link.info is not None
        return now - link.last_sign > _QUIET_S, len(link.held) / link.info.max_num_seqs

    def _cancel(self, generation: ActiveGeneration) -> None:
        if generation.phase is Phase.QUEUED:
            generation.phase = Phase.ENDED
            self._queue.remove(generation)
            self._dispatch()  # what had to wait behind it may fit
            return
        for link in self._links:
            if generation.id in link.held:
                link.take_back(generation)

    async def _shed_late(self) -> None:
        """Answer those that have waited too long, while there is still somebody to answer."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(_TICK_S)
            if not self._queue:
                continue
            oldest = clock() - self._queue_timeout_s
            late = [g for g in self._queue if g.queued_at < oldest and not g.patient]
            for generation in late:
                self._queue.remove(generation)
                generation.fail(
                    Overloaded(
                        f"the request waited {self._queue_timeout_s:g} s without a free slot",
                        retry_after_s=self._ttft_target_s,
                    )
                )
            if late:
                self._dispatch()

    def _queued_tokens(self) -> int:
        return sum(generation.prompt_tokens for generation in self._queue)

    def _admitting_links(self) -> list[WorkerLink]:
        """The workers that are up, or the reason why there is none."""
        if self.draining:
            raise Unavailable(
                "the server is shutting down", retry_after_s=None, code="server_draining"
            )
        links = [link for link in self._links if link.up]
        if links:
            return links
        if not self._was_ready:
            raise Unavailable(
                "the model is still loading", retry_after_s=_DEFAULT_LOAD_S, code="model_loading"
            )
        assert self._down_since is not None
        load_s = self._last_info.load_s if self._last_info else _DEFAULT_LOAD_S
        gone = asyncio.get_running_loop().time() - self._down_since
        raise Unavailable(
            "no worker is up; one is being started",
            retry_after_s=max(1.0, load_s - gone),
            code="no_worker",
        )

    def _state(self) -> PoolHealth:
        if self.draining:
            return "draining"
        if not self._was_ready:
            return "loading"
        oldest = asyncio.get_running_loop().time() - self._stalled_after_s
        alive = any(link.up and link.last_sign > oldest for link in self._links)
        return "ready" if alive else "stalled"
