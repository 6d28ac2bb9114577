"""A small GGUF writer, made from the format's description and not from the reader's code."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

CODES = {
    "u8": (0, "B"),
    "i8": (1, "b"),
    "u16": (2, "H"),
    "i16": (3, "h"),
    "u32": (4, "I"),
    "i32": (5, "i"),
    "f32": (6, "f"),
    "bool": (7, "?"),
    "str": (8, None),
    "u64": (10, "Q"),
    "i64": (11, "q"),
    "f64": (12, "d"),
}
# ggml type -> (values a block, bytes a block)
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 8: (32, 34), 12: (256, 144)}


@dataclass(frozen=True)
class Typed:
    """A metadata value with its GGUF type; a list value makes an array of that type."""

    kind: str
    value: Any


@dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    type_id: int = 0

    @property
    def nbytes(self) -> int:
        values = 1
        for n in self.shape:
            values *= n
        per, size = BLOCKS.get(self.type_id, (1, 1))
        return values // per * size


def write_gguf(
    metadata: dict[str, Typed],
    tensors: list[Tensor] | tuple[Tensor, ...] = (),
    *,
    version: int = 3,
    alignment: int = 32,
) -> bytes:
    out = bytearray(b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata)))
    for key, typed in metadata.items():
        out += _string(key)
        number, _ = CODES[typed.kind]
        if isinstance(typed.value, list):
            out += struct.pack("<IIQ", 9, number, len(typed.value))
            for item in typed.value:
                out += _scalar(typed.kind, item)
        else:
            out += struct.pack("<I", number) + _scalar(typed.kind, typed.value)
    offset = 0
    data = bytearray()
    for tensor in tensors:
        out += _string(tensor.name) + struct.pack("<I", len(tensor.shape))
        out += b"".join(struct.pack("<Q", n) for n in tensor.shape)
        out += struct.pack("<IQ", tensor.type_id, offset)
        data += b"\xab" * tensor.nbytes
        data += b"\0" * (-len(data) % alignment)
        offset = len(data)
    out += b"\0" * (-len(out) % alignment)
    return bytes(out + data)


def llama(**changes: Typed | None) -> bytes:
    """A tiny model with everything a shape and a vocabulary need; None removes a key."""
    metadata: dict[str, Typed | None] = {
        "general.architecture": Typed("str", "llama"),
        "llama.block_count": Typed("u32", 2),
        "llama.context_length": Typed("u32", 128),
        "llama.embedding_length": Typed("u32", 64),
        "llama.attention.head_count": Typed("u32", 4),
        "llama.attention.head_count_kv": Typed("u32", 2),
        "tokenizer.ggml.model": Typed("str", "gpt2"),
        "tokenizer.ggml.tokens": Typed("str", ["<|end|>", "a", "Ġb", "é"]),
        "tokenizer.ggml.token_type": Typed("i32", [3, 1, 1, 1]),
        "tokenizer.ggml.eos_token_id": Typed("u32", 0),
    }
    metadata.update({key.replace("__", "."): value for key, value in changes.items()})
    tensors = [
        Tensor("token_embd.weight", (64, 4), 8),
        Tensor("blk.0.attn_q.weight", (64, 64), 3),
        Tensor("output_norm.weight", (64,), 0),
    ]
    return write_gguf({k: v for k, v in metadata.items() if v is not None}, tensors)


def _string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def _scalar(kind: str, value: Any) -> bytes:
    return _string(value) if kind == "str" else struct.pack("<" + CODES[kind][1], value)
