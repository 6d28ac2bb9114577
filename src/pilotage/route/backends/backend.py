"""What answers: one small interface, and one error that says whether to try again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from enum import StrEnum
from typing import Protocol

from pilotage.route.answer import Chunk, Usage
from pilotage.route.call import Call


class Backend(Protocol):
    """One place that answers: a local model, an OpenAI-compatible address, Bedrock, SageMaker.

    Attributes:
        name: Unique in the router: "tier/0", for people and metrics.
    """

    name: str

    def complete(self, call: Call) -> AsyncGenerator[Chunk, None]:
        """One attempt: the answer's chunks as they come. It never tries again by itself.

        Closing the generator (``aclose``, or cancelling the task that iterates) ends the attempt
        at the provider as well. The last chunk has a finish reason; usage has come by then, or is
        not to be had.

        Raises:
            BackendError: From the iteration.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Fault(StrEnum):
    """What went wrong with an attempt."""

    UNREACHABLE = "unreachable"
    """No connection, or it ended before the request can have been worked on."""
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    """429, throttling: nothing was generated."""
    OVERLOADED = "overloaded"
    """503, no capacity, the model is loading: nothing was generated."""
    FAILED = "failed"
    """Another 5xx, or an error inside a stream."""
    CUT = "cut"
    """The answer broke off after it had begun, or ended without a finish reason."""
    GARBAGE = "garbage"
    """Not an answer of the protocol."""
    REFUSED = "refused"
    """A 4xx that is about this request: every backend would say so."""
    DENIED = "denied"
    """401, 403, no such model, no credentials: this backend needs its operator."""


SAFE_TO_RETRY = frozenset({Fault.UNREACHABLE, Fault.RATE_LIMITED, Fault.OVERLOADED, Fault.FAILED})
"""Faults after which the same backend may be asked again, while no chunk has been passed on."""


class BackendError(Exception):
    """An attempt that failed.

    Args:
        fault: What kind of failure.
        message: One sentence for people; holds no secret and nothing of the prompt.
        status: HTTP status the provider gave, where it gave one.
        retry_after_s: How long it asked to wait.
        usage: What it is known to have billed nevertheless.
        detail: Of a refusal, what the provider said. It may quote the request: for the client who
            sent that, never for a log.
    """

    def __init__(
        self,
        fault: Fault,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        usage: Usage | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(message)
        self.fault = fault
        self.message = message
        self.status = status
        self.retry_after_s = retry_after_s
        self.usage = usage
        self.detail = detail
