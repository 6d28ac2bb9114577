"""What the gateway and its decoder processes say to each other, over a Unix-domain socket.

A message is its length (4 bytes, little-endian) and MessagePack. A `Job` whose image is on disk
comes with the file's descriptor; a `Decoded` is followed by its pixels.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

import msgspec

from pilotage.images import ImageLimits, VisionInput

_LENGTH: Final = struct.Struct("<I")


class Job(msgspec.Struct, frozen=True):
    """An image to decode.

    Attributes:
        limits: What is taken.
        vision: What the model looks at.
        data: The image file, unless its descriptor comes along.
    """

    limits: ImageLimits
    vision: VisionInput
    data: bytes | None


class Decoded(msgspec.Struct, frozen=True, tag=True):
    """An image has been decoded; ``width * height * 3`` bytes follow."""

    width: int
    height: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It was not: `message` and `hint` are those of an `ImageError`."""

    message: str
    hint: str | None


_encode: Final = msgspec.msgpack.Encoder().encode
_decode_job: Final = msgspec.msgpack.Decoder(Job).decode
_decode_outcome: Final = msgspec.msgpack.Decoder(Decoded | Refused).decode


def send_job(channel: socket.socket, job: Job, descriptor: int | None) -> None:
    """Send a job, and the descriptor of its file if it has one."""
    body = _encode(job)
    head = _LENGTH.pack(len(body))
    if descriptor is None:
        channel.sendall(head)
    else:
        socket.send_fds(channel, [head], [descriptor])
    channel.sendall(body)


def receive_job(channel: socket.socket) -> tuple[Job, int | None] | None:
    """The next job and its descriptor, which is now ours; None when there will be none."""
    head, descriptors, _, _ = socket.recv_fds(channel, _LENGTH.size, 1)
    if not head:
        return None
    head += _exactly(channel, _LENGTH.size - len(head))
    job = _decode_job(_exactly(channel, *_LENGTH.unpack(head)))
    return job, (descriptors[0] if descriptors else None)


def send_outcome(channel: socket.socket, outcome: Decoded | Refused, pixels: bytes = b"") -> None:
    """Send what became of a job."""
    body = _encode(outcome)
    channel.sendall(_LENGTH.pack(len(body)) + body)
    channel.sendall(pixels)


def receive_outcome(channel: socket.socket) -> tuple[Decoded | Refused, bytes]:
    """What became of a job, and its pixels.

    Raises:
        EOFError: The decoder is gone.
        TimeoutError: It says nothing, for as long as the socket's timeout.
    """
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size))
    outcome = _decode_outcome(_exactly(channel, length))
    if isinstance(outcome, Refused):
        return outcome, b""
    return outcome, _exactly(channel, outcome.width * outcome.height * 3)


def _exactly(channel: socket.socket, count: int) -> bytes:
    # In one piece as a rule: bytes that are joined from pieces are copied under the lock that
    # the event loop needs too.
    pieces: list[bytes] = []
    while count:
        piece = channel.recv(count, socket.MSG_WAITALL)
        if not piece:
            raise EOFError("the other side is gone")
        pieces.append(piece)
        count -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
