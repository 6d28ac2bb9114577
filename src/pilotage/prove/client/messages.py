"""What the parent and a sender process say to each other, as length-prefixed MessagePack."""

from __future__ import annotations

import struct

import msgspec

from pilotage.prove.record import Record, SenderStats

_LENGTH = struct.Struct("<I")
HEADER_SIZE = _LENGTH.size


class Setup(msgspec.Struct, frozen=True, tag="setup"):
    """Everything a sender needs to know; the first message to it.

    Attributes:
        sender: Its number, from 0.
        senders: How many there are; it takes every ``senders``-th request.
        host: Server's name or address.
        port: Server's port.
        tls: Whether to speak TLS; the certificate is always verified.
        head: Request line and header lines up to the ones that depend on the body.
        content_types: Media types that the payload table points into.
        bodies_fd: Descriptor of the file of bodies.
        table_fd: Descriptor of the payload table (`pilotage.prove.client.spool`).
        times_fd: Descriptor of the due times; -1 for a closed loop.
        concurrency: Clients of a closed loop for this sender; 0 for an open loop.
        duration_s: Closed loop: how long requests are begun; None until ``requests`` are done.
        requests: Closed loop: how many this sender begins at most.
        timeout_s: Longest time from a request's due time to the end of its answer.
        first_token_by_s: Seconds after which a request without a token is overdue; None for never.
        end_by_s: Seconds after which a request without an end is; None for never.
        keep_text: Whether records hold the answers' text.
        cpus: CPU cores to keep to; empty for all.
        overdue_from_s: Requests due before this second (warm-up) are never overdue.
    """

    sender: int
    senders: int
    host: str
    port: int
    tls: bool
    head: bytes
    content_types: tuple[str, ...]
    bodies_fd: int
    table_fd: int
    times_fd: int
    concurrency: int
    duration_s: float | None
    requests: int | None
    timeout_s: float
    keep_text: bool
    first_token_by_s: float | None = None
    end_by_s: float | None = None
    cpus: tuple[int, ...] = ()
    overdue_from_s: float = 0.0


class Start(msgspec.Struct, frozen=True, tag="start"):
    """Begin: time 0 of the run is ``at`` on ``time.monotonic()``, the same in all processes."""

    at: float


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Begin nothing more; what is in flight is recorded as cancelled."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The sender has read its setup and waits for the start."""


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """What ended since the last message, and where the sender stands.

    Attributes:
        records: Requests that ended.
        begun: Requests begun so far.
        in_flight: Requests under way now.
        overdue: Those of them that are late already.
    """

    records: list[Record]
    begun: int
    in_flight: int
    overdue: int


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The last message of a sender."""

    stats: SenderStats


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The sender could not do its work at all, for a reason that concerns the user."""

    message: str


ToSender = Setup | Start | Stop
FromSender = Ready | Progress | Finished | Failed

_encoder = msgspec.msgpack.Encoder()
to_sender_decoder = msgspec.msgpack.Decoder(ToSender)
from_sender_decoder = msgspec.msgpack.Decoder(FromSender)


def frame(message: ToSender | FromSender) -> bytes:
    """``message`` as it goes over a pipe."""
    data = _encoder.encode(message)
    return _LENGTH.pack(len(data)) + data


def frame_length(header: bytes) -> int:
    """The length that a frame's first `HEADER_SIZE` bytes announce."""
    (length,) = _LENGTH.unpack(header)
    return int(length)
