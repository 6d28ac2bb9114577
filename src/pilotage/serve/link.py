"""The link between gateway and worker: frames over a Unix-domain socket.

A frame is a little-endian uint32 length and that many bytes of MessagePack. Workers send **one
frame an engine step**, which carries every request's new tokens: at 64 streams that is one
message instead of 64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

import msgspec

from pilotage.engines.engine import EngineInfo, EngineOutput, EngineRequest

MAX_FRAME: Final = 64 << 20
"""Bytes; a longer frame can only be a broken peer."""

_HEADER: Final = 4


class Submit(msgspec.Struct, frozen=True, tag=True):
    """Gateway to worker: run this."""

    request: EngineRequest


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Gateway to worker: stop this request. Answered by an output that says "cancelled"."""

    id: int


class Hello(msgspec.Struct, frozen=True, tag=True):
    """Worker to gateway, once a connection: what the worker can hold."""

    worker: int
    info: EngineInfo


class Step(msgspec.Struct, frozen=True, tag=True):
    """Worker to gateway: what one engine step brought.

    An idle worker sends one without outputs every second, as a sign of life.

    Attributes:
        outputs: New tokens and endings, one entry a request that has news.
        duration_s: Seconds the step took; 0 when idle.
        running: Requests the engine still holds after it.
        kv_cache_usage: Share of the KV cache in use, 0 to 1.
        prefill_tokens_per_s: Prefill rate as measured lately.
    """

    outputs: list[EngineOutput]
    duration_s: float
    running: int
    kv_cache_usage: float
    prefill_tokens_per_s: float


ToWorker = Submit | Cancel
ToGateway = Hello | Step

_encoder: Final = msgspec.msgpack.Encoder()
M = TypeVar("M")


def encode(message: ToWorker | ToGateway) -> bytes:
    """One message as a frame."""
    buffer = bytearray(_HEADER)
    _encoder.encode_into(message, buffer, _HEADER)
    buffer[:_HEADER] = (len(buffer) - _HEADER).to_bytes(_HEADER, "little")
    return bytes(buffer)


class FrameDecoder(Generic[M]):
    """Takes bytes as they arrive and gives out whole messages.

    Args:
        kind: The union of messages this side receives, `ToWorker` or `ToGateway`.
    """

    def __init__(self, kind: type[M]) -> None:
        self._decoder: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(kind)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[M]:
        """Yield the messages that are complete now. Raises ValueError for a broken peer."""
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= _HEADER:
                length = int.from_bytes(self._buffer[start : start + _HEADER], "little")
                if length > MAX_FRAME:
                    raise ValueError(f"a frame of {length} bytes")
                end = start + _HEADER + length
                if len(self._buffer) < end:
                    break
                message = self._decoder.decode(memoryview(self._buffer)[start + _HEADER : end])
                start = end
                yield message
        finally:
            del self._buffer[:start]
