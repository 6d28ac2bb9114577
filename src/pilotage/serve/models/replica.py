"""One engine on one worker, as the gateway sees it: what it can take, and what it holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from pilotage.engines.engine import EngineInfo
from pilotage.serve.active import ActiveGeneration
from pilotage.serve.admission import CompletionLengths, WorkerLoad
from pilotage.serve.link import Cancel, Step, Submit, ToWorker

_WEIGHT: Final = 0.3
_USUAL_COMPLETION: Final = 512
"""Tokens that a completion of unknown length is reserved in the KV cache."""


class ReplicaListener(Protocol):
    """Who is told what happens to a replica: its model's pool."""

    def on_up(self, replica: Replica) -> None:
        """It is ready."""

    def on_step(self, replica: Replica, step: Step) -> None:
        """A step's outputs are in."""

    def on_down(self, replica: Replica) -> None:
        """It is lost, and may come back; what it held is still in ``replica.held``."""

    def on_closed(self, replica: Replica) -> None:
        """It is gone for good, and held nothing."""


class Replica:
    """A copy of a model on a worker.

    Attributes:
        worker: The worker's number.
        number: What the link calls it.
        model: The model's name.
        info: What it can hold; None while it is not there.
        held: Generations it was given and has not let go of, by engine id.
        last_sign: When it was last heard of, on the event loop's clock.
        down_since: When it was lost, on that clock; None while it is there.
        cutoff: The last generation that it still takes, as it is about to be closed; None while
            it stays.
        steps: Steps heard of since the gateway started.
        kv_cache_usage: Share of its KV cache in use.
        prefill_tokens_per_s: Its prefill rate, as it measures it.
        step_s: Seconds of a step, smoothed.
    """

    def __init__(
        self,
        worker: int,
        number: int,
        model: str,
        listener: ReplicaListener,
        send: Callable[[ToWorker], None],
    ) -> None:
        self.worker = worker
        self.number = number
        self.model = model
        self.info: EngineInfo | None = None
        self.held: dict[int, ActiveGeneration] = {}
        self.last_sign = 0.0
        self.down_since: float | None = None
        self.cutoff: int | None = None
        self.steps = 0
        self.kv_cache_usage = 0.0
        self.prefill_tokens_per_s = 1.0
        self.step_s = 0.0
        self._listener = listener
        self._send = send

    @property
    def up(self) -> bool:
        """Whether it can be used."""
        return self.info is not None

    @property
    def leaving(self) -> bool:
        """Whether it is about to be closed."""
        return self.cutoff is not None

    def takes(self, generation: ActiveGeneration) -> bool:
        """Whether it is there, and not closed to a generation that came so late."""
        return self.info is not None and (self.cutoff is None or generation.id <= self.cutoff)

    @property
    def free_slots(self) -> int:
        """Sequences it could start now. A cancelled one counts until the engine let go of it."""
        return 0 if self.info is None else max(0, self.info.max_num_seqs - len(self.held))

    def has_room(self, generation: ActiveGeneration, lengths: CompletionLengths) -> bool:
        """Whether its tokens have room in the KV cache beside those of the others.

        Completions are counted with what they usually come to: an allowance nobody uses should
        not keep others out. Should they all grow long, the engine preempts the youngest. An
        engine that keeps no cache between steps (an encoder) has room for all.
        """
        if self.info is None or not self.held or not self.info.kv_cache_tokens:
            return self.info is not None
        needed = sum(_kv_tokens(other, lengths) for other in (*self.held.values(), generation))
        return needed <= self.info.kv_cache_tokens

    def load(self, lengths: CompletionLengths) -> WorkerLoad:
        """What admission needs to know of it."""
        assert self.info is not None
        return WorkerLoad(
            free_slots=self.free_slots,
            remaining_tokens=[
                1
                if generation.cancelled
                else lengths.remaining(generation.generated, generation.request.params.max_tokens)
                for generation in self.held.values()
            ],
            prefill_backlog=sum(
                generation.prompt_tokens
                for generation in self.held.values()
                if not generation.generated
            ),
            prefill_tokens_per_s=self.prefill_tokens_per_s,
            step_s=self.step_s,
            batched_tokens=self.info.max_num_batched_tokens,
        )

    def give(self, generation: ActiveGeneration) -> None:
        """Hand a generation to the engine."""
        self.held[generation.id] = generation
        self._send(Submit(self.number, generation.engine_request))

    def take_back(self, generation: ActiveGeneration) -> None:
        """Ask the engine to stop it; it stays in `held` until the worker says it has."""
        self._send(Cancel(self.number, generation.id))

    # What the link tells ----------------------------------------------------------------------

    def opened(self, info: EngineInfo) -> None:
        """The engine is there."""
        self.info = info
        self.down_since = None
        self.prefill_tokens_per_s = info.prefill_tokens_per_s
        self._listener.on_up(self)

    def stepped(self, step: Step) -> None:
        """A step is done."""
        self.kv_cache_usage = step.kv_cache_usage
        self.prefill_tokens_per_s = max(1.0, step.prefill_tokens_per_s)
        if step.duration_s:
            self.steps += 1
            self.step_s += (
                _WEIGHT * (step.duration_s - self.step_s) if self.step_s else step.duration_s
            )
        self._listener.on_step(self, step)

    def lost(self, now: float) -> None:
        """The worker is gone, and the engine with it."""
        if self.info is not None:
            self.info = None
            self.down_since = now
            self._listener.on_down(self)

    def closed(self, now: float) -> None:
        """The engine is closed, or will not come back."""
        if self.held:
            self.lost(now)
        self.info = None
        self._listener.on_closed(self)


def _kv_tokens(generation: ActiveGeneration, lengths: CompletionLengths) -> int:
    coming = lengths.remaining(generation.generated, generation.request.params.max_tokens)
    return generation.prompt_tokens + generation.generated + min(coming, _USUAL_COMPLETION)
