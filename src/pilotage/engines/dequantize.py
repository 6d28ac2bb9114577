"""A GGUF file as an ordinary safetensors folder, for engines that do not read GGUF.

The numbers are those that the GGUF holds, rounded to bf16 (or fp16, or not at all). Tensors are
converted one after another, so that memory holds the largest of them and not the model. The
block formats are decoded by llama.cpp's own Python package, ``gguf``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal

import numpy as np

from pilotage.catalog import GGUFHeader, TensorInfo, read_header
from pilotage.engines.dense_layout import PERMUTED, dense_config, dense_name
from pilotage.errors import ModelError, UnsupportedModelError, UsageError
from pilotage.tokens.gguf_vocabulary import parts_from_gguf

if TYPE_CHECKING:
    from numpy.typing import NDArray

DenseType = Literal["bf16", "fp16", "fp32"]

_TORCH_NAMES: Final = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_SAFETENSORS_NAMES: Final = {"bf16": "BF16", "fp16": "F16", "fp32": "F32"}
_BYTES: Final = {"bf16": 2, "fp16": 2, "fp32": 4}
_U64: Final = struct.Struct("<Q")


def dequantize(gguf: Path, folder: Path, dtype: DenseType = "bf16") -> Path:
    """Write the model in a GGUF file to a folder: weights, config, tokenizer, chat template.

    The folder appears whole or not at all; one that is there already is left as it is.

    Args:
        gguf: The file.
        folder: Where to.
        dtype: Number format of the weights.

    Returns:
        The folder.

    Raises:
        ModelError: The file is damaged, or a value in it is no number.
        UnsupportedModelError: Its architecture, a tensor or its tokenizer cannot be converted.
        UsageError: The package ``gguf`` is not installed.
    """
    if folder.is_dir():
        return folder
    header = read_header(gguf)
    parts = parts_from_gguf(gguf)
    rows = next((t.shape[-1] for t in header.tensors if t.name == "token_embd.weight"), 0)
    config = dense_config(header, dtype=_TORCH_NAMES[dtype], vocab_size=rows)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        _write_weights(header, config, part / "model.safetensors", dtype)
        _write_json(part / "config.json", config)
        ids = {"bos_token_id": parts.bos_id, "eos_token_id": list(parts.eos_ids)}
        _write_json(part / "generation_config.json", ids)
        parts.backend.save(str(part / "tokenizer.json"))
        described: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": config["max_position_embeddings"],
            "clean_up_tokenization_spaces": False,
            **parts.special_names,
        }
        template = parts.chat_templates.get("default")
        if template is not None:
            described["chat_template"] = template
        _write_json(part / "tokenizer_config.json", described)
        part.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def dense_copy(gguf: Path, cache: Path, dtype: str) -> Path:
    """The file's dense folder in a cache, made if it is not there; see `dequantize` for errors.

    A folder's name tells apart files, their contents (by size and time) and number formats.
    """
    kind: DenseType = "fp32" if dtype == "fp32" else "fp16" if dtype == "fp16" else "bf16"
    stat = gguf.stat()
    identity = f"1\0{gguf.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0{kind}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return dequantize(gguf, cache / f"dense-{gguf.stem}-{digest}", kind)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    present = {name: item for name, item in value.items() if item is not None}
    path.write_text(json.dumps(present, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_weights(
    header: GGUFHeader, config: dict[str, Any], path: Path, dtype: DenseType
) -> None:
    """One safetensors file: u64 length, JSON header with every tensor's place, then their data."""
    named: list[tuple[str, TensorInfo]] = []
    for tensor in header.tensors:
        name = dense_name(tensor.name, str(header.path))
        if name is not None:
            named.append((name, tensor))
    places: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in named:
        start, end = end, end + tensor.values * _BYTES[dtype]
        places[name] = {
            "dtype": _SAFETENSORS_NAMES[dtype],
            "shape": list(reversed(tensor.shape)),
            "data_offsets": [start, end],
        }
    head = json.dumps(places).encode()
    head += b" " * (-len(head) % 8)
    with header.path.open("rb") as source, path.open("wb") as target:
        target.write(_U64.pack(len(head)) + head)
        for values in _decoded(header, config, [tensor for _, tensor in named], source):
            target.write(_stored(values, dtype))


def _decoded(
    header: GGUFHeader, config: dict[str, Any], tensors: list[TensorInfo], source: IO[bytes]
) -> Iterator[NDArray[np.float32]]:
    """The tensors' values, in Hugging Face's layout."""
    try:
        from gguf import GGMLQuantizationType, quants  # noqa: PLC0415  an extra
    except ImportError:
        raise UsageError(
            "turning a GGUF file into safetensors needs the package gguf",
            hint="pip install 'pilotage[gguf]'",
        ) from None
    where = str(header.path)
    permuted = config["model_type"] in PERMUTED
    for tensor in tensors:
        kind = getattr(GGMLQuantizationType, tensor.type_name, None)
        if kind is None or tensor.nbytes is None:
            raise UnsupportedModelError(
                f"{tensor.name} is stored as {tensor.type_name}, which cannot be decoded",
                where=where,
            )
        source.seek(header.data_offset + tensor.offset)
        raw = np.frombuffer(source.read(tensor.nbytes), np.uint8)
        shape = tuple(reversed(tensor.shape))
        try:
            values = quants.dequantize(raw.reshape(*shape[:-1], -1), kind)
        except (NotImplementedError, ValueError) as error:
            raise UnsupportedModelError(
                f"{tensor.name} ({tensor.type_name}) cannot be decoded: {error}", where=where
            ) from None
        values = np.asarray(values, np.float32).reshape(shape)
        if not np.isfinite(values).all():
            raise ModelError(
                f"damaged: {tensor.name} holds values that are no numbers", where=where
            )
        if permuted and tensor.name.endswith(("attn_q.weight", "attn_q.bias")):
            values = _halves(values, config["num_attention_heads"])
        elif permuted and tensor.name.endswith(("attn_k.weight", "attn_k.bias")):
            values = _halves(values, config["num_key_value_heads"])
        yield values


def _halves(values: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Undo llama.cpp's order of a head's rows: from (pair, half) back to (half, pair)."""
    rows = values.shape[0]
    paired = values.reshape(heads, rows // heads // 2, 2, *values.shape[1:])
    return paired.swapaxes(1, 2).reshape(values.shape)


def _stored(values: NDArray[np.float32], dtype: DenseType) -> bytes:
    """The values' bytes; bf16 is rounded to nearest, ties to even (values are finite)."""
    if dtype == "bf16":
        bits = np.ascontiguousarray(values).view(np.uint32)
        rounded = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
        return (rounded >> np.uint32(16)).astype("<u2").tobytes()
    return values.astype("<f2" if dtype == "fp16" else "<f4").tobytes()


def main(arguments: list[str]) -> int:
    """``python -m pilotage.engines.dequantize MODEL.gguf FOLDER``."""
    source, target = arguments
    dequantize(Path(source), Path(target).absolute())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
