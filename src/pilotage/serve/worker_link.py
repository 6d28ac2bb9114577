"""The gateway's end of the link to one worker: connects, reconnects, keeps its measures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from pilotage.engines.engine import EngineInfo
from pilotage.serve.active import ActiveGeneration
from pilotage.serve.admission import CompletionLengths, WorkerLoad
from pilotage.serve.link import Cancel, FrameDecoder, Hello, Step, Submit, ToGateway, encode

_RETRY_S: Final = 0.1
_READ: Final = 1 << 18
_WEIGHT: Final = 0.3
_USUAL_COMPLETION: Final = 512
"""Tokens that a completion of unknown length is reserved in the KV cache."""

_log = logging.getLogger("pilotage.gateway")


class LinkListener(Protocol):
    """Who is told what happens on a link."""

    def on_up(self, link: WorkerLink) -> None:
        """A worker is there and ready."""

    def on_step(self, link: WorkerLink, step: Step) -> None:
        """A step's outputs are in."""

    def on_down(self, link: WorkerLink) -> None:
        """The worker is gone; what it held is still in ``link.held``."""


class WorkerLink:
    """One worker as the gateway sees it.

    Attributes:
        index: The worker's number.
        info: What it can hold; None while it is not connected.
        held: Generations it was given and has not let go of, by engine id.
        last_sign: When it was last heard of, on the event loop's clock.
        steps: Steps heard of since the gateway started.
        kv_cache_usage: Share of its KV cache in use.
        prefill_tokens_per_s: Its prefill rate, as it measures it.
        step_s: Seconds of a step, smoothed.
    """

    def __init__(self, index: int, socket: str, listener: LinkListener) -> None:
        self.index = index
        self.info: EngineInfo | None = None
        self.held: dict[int, ActiveGeneration] = {}
        self.last_sign = 0.0
        self.steps = 0
        self.kv_cache_usage = 0.0
        self.prefill_tokens_per_s = 1.0
        self.step_s = 0.0
        self._socket = socket
        self._listener = listener
        self._writer: asyncio.StreamWriter | None = None

    @property
    def up(self) -> bool:
        """Whether the worker is connected."""
        return self.info is not None

    @property
    def free_slots(self) -> int:
        """Sequences it could start now. A cancelled one counts until the engine let go of it."""
        return 0 if self.info is None else max(0, self.info.max_num_seqs - len(self.held))

    def has_room(self, generation: ActiveGeneration, lengths: CompletionLengths) -> bool:
        """Whether its tokens have room in the KV cache beside those of the others.

        Completions are counted with what they usually come to: an allowance nobody uses should
        not keep others out. Should they all grow long, the engine preempts the youngest.
        """
        if self.info is None or not self.held:
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
        """Hand a generation to the worker."""
        self.held[generation.id] = generation
        self._send(encode(Submit(generation.engine_request)))

    def take_back(self, generation: ActiveGeneration) -> None:
        """Ask the worker to stop it; it stays in `held` until the worker says it has."""
        self._send(encode(Cancel(generation.id)))

    async def run(self) -> None:
        """Stay connected, for as long as the gateway lives."""
        while True:
            try:
                reader, self._writer = await asyncio.open_unix_connection(self._socket)
            except OSError:  # not there yet, or being replaced
                await asyncio.sleep(_RETRY_S)
                continue
            try:
                await self._listen(reader)
            except (OSError, ValueError) as error:
                _log.warning("link to worker %d broke: %s", self.index, error)
            finally:
                self._writer.close()
                self._writer = None
                if self.up:
                    self.info = None
                    self._listener.on_down(self)
            await asyncio.sleep(_RETRY_S)  # nor is a peer that hangs up at once called at once

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        decoder: FrameDecoder[ToGateway] = FrameDecoder(ToGateway)  # type: ignore[arg-type]
        clock: Callable[[], float] = asyncio.get_running_loop().time
        while data := await reader.read(_READ):
            self.last_sign = clock()
            for message in decoder.feed(data):
                match message:
                    case Hello(_, info):
                        self.info = info
                        self.prefill_tokens_per_s = info.prefill_tokens_per_s
                        self._listener.on_up(self)
                    case Step():
                        self._measure(message)
                        self._listener.on_step(self, message)

    def _measure(self, step: Step) -> None:
        self.kv_cache_usage = step.kv_cache_usage
        self.prefill_tokens_per_s = max(1.0, step.prefill_tokens_per_s)
        if step.duration_s:
            self.steps += 1
            self.step_s += (
                _WEIGHT * (step.duration_s - self.step_s) if self.step_s else step.duration_s
            )

    def _send(self, frame: bytes) -> None:
        if self._writer is not None:
            self._writer.write(frame)


def _kv_tokens(generation: ActiveGeneration, lengths: CompletionLengths) -> int:
    coming = lengths.remaining(generation.generated, generation.request.params.max_tokens)
    return generation.prompt_tokens + generation.generated + min(coming, _USUAL_COMPLETION)
