"""What load to make, and what came of it: the values that the load client reads and writes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Outcome = Literal[
    "complete",  # the whole answer arrived
    "rejected",  # the server answered with a status of 400 or more
    "error_event",  # a stream ended with an error object
    "broken",  # the connection ended before the answer did
    "unreachable",  # no connection could be had
    "timeout",  # no whole answer within the load's timeout
]


class ClosedLoop(msgspec.Struct, frozen=True, tag="closed"):
    """A fixed number of clients; each sends its next request when its last one has ended.

    Attributes:
        streams: Requests in flight at any time.
        requests: Requests in total.
    """

    streams: int
    requests: int


class OpenLoop(msgspec.Struct, frozen=True, tag="open"):
    """Poisson arrivals that do not wait for answers, as users do not.

    Attributes:
        rate: Mean arrivals a second.
        duration_s: How long requests arrive, in seconds.
        seed: Seed of the arrival times; the same seed gives the same times.
    """

    rate: float
    duration_s: float
    seed: int = 0


class Load(msgspec.Struct, frozen=True):
    """A load on one server.

    Attributes:
        url: Where requests are posted, such as ``http://127.0.0.1:8000/v1/chat/completions``.
        bodies: JSON bodies of the requests, used in order and then again from the first.
        arrivals: When requests are sent.
        headers: Further request headers, such as ``Authorization``.
        timeout_s: Longest time a request may take, in seconds.
        keep_text: Whether records hold the answers' text.
        cpus: CPU cores that the load client keeps to; empty for all of them.
    """

    url: str
    bodies: tuple[dict[str, Any], ...]
    arrivals: ClosedLoop | OpenLoop
    headers: dict[str, str] = {}
    timeout_s: float = 600.0
    keep_text: bool = False
    cpus: tuple[int, ...] = ()


class Record(msgspec.Struct, frozen=True):
    """One request. Times are seconds since the load began.

    Attributes:
        index: Place of the request in the load; its body is ``bodies[index % len(bodies)]``.
        scheduled_s: When it should have been sent.
        sent_s: When it was sent.
        first_token_s: When the first content arrived; of an answer that is not streamed, when
            its first byte arrived. None if no content arrived.
        end_s: When it ended.
        chunk_times_s: When each piece of content arrived.
        status: HTTP status; None without an answer.
        outcome: How it ended.
        completion_tokens: Tokens of the answer, as `counted_by` says.
        counted_by: ``usage`` when the server said how many, ``chunks`` when the pieces of
            content were counted, one token each.
        finish_reason: As the server said.
        retry_after: The Retry-After header as sent.
        retry_after_ms: The retry-after-ms header as sent.
        error: What went wrong, if anything.
        text: The answer, if the load keeps texts.
    """

    index: int
    scheduled_s: float
    sent_s: float
    first_token_s: float | None
    end_s: float
    chunk_times_s: tuple[float, ...]
    status: int | None
    outcome: Outcome
    completion_tokens: int
    counted_by: Literal["usage", "chunks"]
    finish_reason: str | None = None
    retry_after: str | None = None
    retry_after_ms: str | None = None
    error: str | None = None
    text: str | None = None

    @property
    def ttft_s(self) -> float | None:
        """Seconds from the time it should have been sent to its first content."""
        return None if self.first_token_s is None else self.first_token_s - self.scheduled_s


class LoadResult(msgspec.Struct, frozen=True):
    """What came of a load.

    Attributes:
        records: One a request, in the order of their ends.
        elapsed_s: Seconds from the beginning to the end of the last request.
        client_cpu_s: CPU seconds that the client itself used in that time.
    """

    records: tuple[Record, ...]
    elapsed_s: float
    client_cpu_s: float

    @property
    def completed(self) -> tuple[Record, ...]:
        """The requests whose whole answer arrived."""
        return tuple(record for record in self.records if record.outcome == "complete")

    @property
    def tokens_per_second(self) -> float:
        """Tokens of complete answers a second, from the first send to the last end."""
        tokens = sum(record.completion_tokens for record in self.completed)
        return tokens / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def ttfts_s(self) -> tuple[float, ...]:
        """Time to first token of each complete answer, in seconds."""
        return tuple(record.ttft_s for record in self.completed if record.ttft_s is not None)

    @property
    def chunks(self) -> int:
        """Pieces of content that the client received."""
        return sum(len(record.chunk_times_s) for record in self.records)

    @property
    def worst_send_lag_s(self) -> float:
        """How late the client sent a request at worst, in seconds."""
        return max((record.sent_s - record.scheduled_s for record in self.records), default=0.0)
