"""What was sent and what came back: one record a request."""

from __future__ import annotations

from typing import Literal

import msgspec

Outcome = Literal[
    "complete",  # the whole answer arrived
    "rejected",  # 429 or 503: the server said that it has no room now
    "refused",  # any other status from 400 to 499
    "server_error",  # any other status from 500 on
    "redirected",  # a status from 300 to 399; never followed
    "error_event",  # a stream, or a 200, that carried an error object
    "broken",  # the connection ended before the answer did
    "garbage",  # what arrived is not HTTP, or not JSON, or not server-sent events
    "unreachable",  # no connection could be had
    "timeout",  # no whole answer within the time a request may take
    "cancelled",  # the run was stopped while the request was in flight
]
"""How a request ended."""

LOCAL = "this machine: "
"""What the error of a request begins with that failed for want of something on our own side."""


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One request. All times are seconds since the run's start, on one clock for all senders.

    Attributes:
        index: Place of the request in the schedule.
        scheduled_s: When it was due. Latency counts from here, however late it was sent.
        started_s: When the sender took it up; ``started_s - scheduled_s`` is the sender's delay.
            Where it had no file left for a connection, that is when it got one.
        sent_s: When its bytes were handed to a connection. None if none could be had.
        first_token_s: When the first content of a stream arrived. None without a stream.
        last_token_s: When the last content of a stream arrived.
        end_s: When the answer was whole, or the request failed.
        outcome: How it ended.
        status: HTTP status; None without an answer.
        error: What went wrong, one printable line of at most 300 characters.
        finish_reason: As the server said.
        prompt_tokens: As the server counted them; None if it did not say.
        completion_tokens: As the server counted them; None if it did not say.
        expected_prompt_tokens: As the payload's own tokenizer counted them; None if unknown.
        asked_tokens: The completion tokens that were asked for; None if left to the server.
        chunks: Pieces of content that arrived.
        gaps: Seconds between the chunks, ``chunks - 1`` little-endian 32-bit floats.
        retry_after_s: The server's Retry-After, in seconds.
        queue_s: Time in the server's queue, where it says so (``Server-Timing: queue;dur=…``).
        text: The answer, if texts are kept.
        sender: Which sender process sent it.
        repeat: How often this payload had been used before in the run.
        resent: How often it was sent again, because the server closed a kept connection just then.
    """

    index: int
    scheduled_s: float
    started_s: float
    sent_s: float | None
    first_token_s: float | None
    last_token_s: float | None
    end_s: float
    outcome: Outcome
    status: int | None = None
    error: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    expected_prompt_tokens: int | None = None
    asked_tokens: int | None = None
    chunks: int = 0
    gaps: bytes = b""
    retry_after_s: float | None = None
    queue_s: float | None = None
    text: str | None = None
    sender: int = 0
    repeat: int = 0
    resent: int = 0

    @property
    def send_delay_s(self) -> float:
        """How late the sender was: none of the server's doing."""
        return self.started_s - self.scheduled_s

    @property
    def complete(self) -> bool:
        """Whether the whole answer arrived."""
        return self.outcome == "complete"

    @property
    def ttft_s(self) -> float | None:
        """Time to first token, from the scheduled time. None if no content was streamed."""
        return None if self.first_token_s is None else self.first_token_s - self.scheduled_s

    @property
    def e2e_s(self) -> float:
        """End-to-end latency, from the scheduled time to the end of the answer."""
        return self.end_s - self.scheduled_s

    @property
    def tpot_s(self) -> float | None:
        """Time per output token after the first: decode time by the tokens after the first.

        None for answers of one token, and when neither the server nor the chunks tell how many.
        None, too, for answers that came in one piece: it would be 0, whatever the server took.
        """
        if self.first_token_s is None or self.last_token_s is None or self.chunks < 2:
            return None
        tokens = self.completion_tokens or self.chunks
        return (self.last_token_s - self.first_token_s) / (tokens - 1) if tokens > 1 else None


class SenderStats(msgspec.Struct, frozen=True):
    """What a sender process says of itself at its end.

    Attributes:
        sender: Its number.
        cpu_s: CPU seconds it used while the run lasted.
        elapsed_s: Seconds the run lasted for it.
        loop_lag_p50_s: Median lateness of its event loop, measured by a timer every 10 ms.
        loop_lag_p99_s: 99th percentile of it: how late an arriving token was noticed at worst,
            99 times out of 100.
        loop_lag_max_s: The worst of it.
        connections: Connections it opened.
    """

    sender: int
    cpu_s: float
    elapsed_s: float
    loop_lag_p50_s: float
    loop_lag_p99_s: float
    loop_lag_max_s: float
    connections: int
