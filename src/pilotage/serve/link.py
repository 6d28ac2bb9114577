"""The link between gateway and worker: frames over a Unix-domain socket.

A frame is a little-endian uint32 length and that many bytes of MessagePack. Workers send **one
frame an engine step**, which carries every request's new tokens: at 64 streams that is one
message instead of 64. A worker may hold several engines; messages name them by number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

import msgspec

from pilotage.engines.config import EngineConfig
from pilotage.engines.engine import EngineInfo, EngineOutput, EngineRequest

MAX_FRAME: Final = 64 << 20
"""Bytes; a longer frame can only be a broken peer."""

_HEADER: Final = 4


class Submit(msgspec.Struct, frozen=True, tag=True):
    """Gateway to worker: run this on that engine."""

    engine: int
    request: EngineRequest


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Gateway to worker: stop this request. Answered by an output that says "cancelled"."""

    engine: int
    id: int


class Load(msgspec.Struct, frozen=True, tag=True):
    """Gateway to worker: open an engine. Answered by `Loaded` or `LoadFailed`.

    ``engine`` is its number from now on; the gateway takes one that the worker does not use.
    """

    engine: int
    config: EngineConfig


class Unload(msgspec.Struct, frozen=True, tag=True):
    """Gateway to worker: close an engine, stopping what it still runs. Answered by `Unloaded`."""

    engine: int


class OpenedEngine(msgspec.Struct, frozen=True):
    """An engine that a worker has, or is about to have: then ``info`` is None."""

    engine: int
    model: str
    info: EngineInfo | None


class Hello(msgspec.Struct, frozen=True, tag=True):
    """Worker to gateway, once a connection: what the worker holds."""

    worker: int
    engines: list[OpenedEngine]


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """Worker to gateway: an engine is ready, warmed up."""

    engine: int
    model: str
    info: EngineInfo


class LoadFailed(msgspec.Struct, frozen=True, tag=True):
    """Worker to gateway: an engine could not be opened; ``error`` is `PilotageError.as_dict`."""

    engine: int
    model: str
    error: dict[str, str | None]


class Unloaded(msgspec.Struct, frozen=True, tag=True):
    """Worker to gateway: an engine is closed and its memory free."""

    engine: int


class Step(msgspec.Struct, frozen=True, tag=True):
    """Worker to gateway: what one step of one engine brought.

    An idle worker sends one without outputs for each engine every second, as a sign of life.

    Attributes:
        engine: The engine's number.
        outputs: New tokens and endings, one entry a request that has news.
        duration_s: Seconds the step took; 0 when idle.
        running: Requests the engine still holds after it.
        kv_cache_usage: Share of the KV cache in use, 0 to 1.
        prefill_tokens_per_s: Prefill rate as measured lately.
    """

    engine: int
    outputs: list[EngineOutput]
    duration_s: float
    running: int
    kv_cache_usage: float
    prefill_tokens_per_s: float


class Alive(msgspec.Struct, frozen=True, tag=True):
    """Worker to gateway: the sign of life of a worker without an engine."""


ToWorker = Submit | Cancel | Load | Unload
ToGateway = Hello | Step | Loaded | LoadFailed | Unloaded | Alive

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
