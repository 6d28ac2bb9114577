"""The gateway's inner interface: what an API endpoint asks of the dispatcher.

An endpoint submits token ids and reads token ids; it knows nothing of workers, queues or retries.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from pilotage.engines.engine import FinishReason, Image, SamplingParams, Tensor


@dataclass(frozen=True, slots=True)
class TokenChunk:
    """New tokens of one generation; several when the reader was slower than the engine.

    ``finish_reason`` is set on the last chunk: "stop" (a stop token, which is not among
    ``token_ids``) or "length". ``restarted`` says that the worker died and the generation began
    anew: tokens of earlier chunks are void. It happens to restartable requests only.
    """

    token_ids: list[int]
    logprobs: list[float] | None
    finish_reason: FinishReason | None
    restarted: bool = False
    tensor: Tensor | None = None


class Generation(Protocol):
    """One sequence being generated.

    Iterating yields `TokenChunk`s and ends after the one with a ``finish_reason``. It raises
    `GenerationFailed` when the generation cannot be completed. `cancel` is idempotent and safe at
    any time: it takes the request out of the queue or stops it on the engine.
    """

    @property
    def queue_s(self) -> float | None:
        """Seconds it waited for a worker, known from its first chunk on; None while it waits."""

    def __aiter__(self) -> AsyncIterator[TokenChunk]:
        """The chunks, in order."""

    def cancel(self) -> None:
        """Stop it; the engine's slot is freed when the engine has let go of it."""


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """A prompt and how to continue it. ``request_id`` is for logs only.

    ``restartable`` says that nothing goes out to the client before the end, so that the request
    may begin anew on another worker even when tokens of it have been read. ``images`` and
    ``segments`` are those of `pilotage.engines.engine.EngineRequest`. ``worker`` names the one
    worker that shall run it; None is whichever is best.
    """

    request_id: str
    prompt_ids: list[int]
    params: SamplingParams
    restartable: bool = False
    images: tuple[Image, ...] = ()
    segments: bytes = b""
    worker: int | None = None


class Dispatcher(Protocol):
    """Takes generations and runs them on whichever worker is best."""

    def submit(self, requests: list[SubmitRequest]) -> list[Generation]:
        """Admit all of them or none (`n` choices stand or fall together).

        Raises:
            Overloaded: when the TTFT target could not be held; says when to come back.
            Unavailable: when no worker is ready (loading, draining, all down).
        """

    def check(self, requests: list[SubmitRequest]) -> None:
        """Raise what `submit` would raise now, before work is done for the requests in vain."""


class GenerationFailed(Exception):
    """A generation that was admitted ended without its answer.

    Args:
        message: A sentence for the client.
        status: HTTP status when nothing has been sent yet (500, 503, 504, or 429 when a queued
            request was shed, 400 when the engine refused its parameters).
        code: Machine-readable code of the OpenAI error object.
        retry_after_s: Seconds, when coming back would help.
    """

    def __init__(
        self, message: str, *, status: int, code: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


class Overloaded(GenerationFailed):
    """Refused by admission: the TTFT target could not be held."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message, status=429, code="overloaded", retry_after_s=retry_after_s)


class Unavailable(GenerationFailed):
    """No worker can take a request at present."""

    def __init__(self, message: str, *, retry_after_s: float | None, code: str) -> None:
        super().__init__(message, status=503, code=code, retry_after_s=retry_after_s)
