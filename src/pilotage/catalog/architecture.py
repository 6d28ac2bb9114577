"""The shape of a transformer: what memory and speed are computed from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pilotage.catalog.gguf import GGUFArray, GGUFHeader
from pilotage.errors import ModelError, UnsupportedModelError

_MAX_CONFIG_BYTES: Final = 16 << 20
_WEIGHTS: Final = ("*.safetensors", "openvino*model.bin", "*.gguf", "*.onnx", "*.onnx_data")
_LARGEST: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The numbers of a decoder-only transformer.

    Attributes:
        architecture: Its family as the file names it: ``llama``, ``qwen2``.
        layers: Transformer blocks.
        hidden: The width of the residual stream.
        heads: Query heads a layer.
        kv_heads_by_layer: Key/value heads of each layer; 0 for a layer without a KV cache.
        head_dim: Values a key head.
        value_head_dim: Values a value head; nearly always `head_dim`.
        context_length: The longest sequence it was trained for, in tokens.
        vocab_size: Tokens.
        parameters: Weights, counted in the file; None when the file does not say.
        weight_bytes: Bytes of the weights as stored.
        tensor_types: How many tensors are stored in which type; empty when the file does not say.
    """

    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads_by_layer: tuple[int, ...]
    head_dim: int
    value_head_dim: int
    context_length: int
    vocab_size: int
    parameters: int | None
    weight_bytes: int
    tensor_types: Mapping[str, int]

    @property
    def kv_heads(self) -> int:
        """Key/value heads of the layer that has most; nearly always the same in all."""
        return max(self.kv_heads_by_layer)

    def kv_bytes_per_token(self, bytes_per_value: float) -> float:
        """Bytes that one token of one sequence takes in the KV cache.

        Every layer keeps a key of ``kv_heads * head_dim`` values and a value of ``kv_heads *
        value_head_dim``, so it is ``sum(kv_heads_by_layer) * (head_dim + value_head_dim) *
        bytes_per_value``. An upper bound for models that keep only a sliding window.

        Args:
            bytes_per_value: 2 for fp16 and bf16, 1 for int8, plus the scales where there are any.
        """
        values = sum(self.kv_heads_by_layer) * (self.head_dim + self.value_head_dim)
        return values * bytes_per_value

    @staticmethod
    def from_gguf(header: GGUFHeader) -> ModelShape:
        """The shape of the model in a GGUF file.

        Raises:
            ModelError: A number that every transformer has is missing or impossible.
            UnsupportedModelError: The file is one part of a split model.
        """
        where = str(header.path)
        if (parts := header.integer("split.count") or 1) > 1:
            raise UnsupportedModelError(
                f"one of the {parts} parts of a split model",
                where=where,
                hint="Join the parts with `llama-gguf-split --merge` first",
            )
        family = header.text("general.architecture")
        if not family:
            raise ModelError("damaged: the header names no architecture", where=where)
        numbers = _Numbers(
            {name: header.integers(f"{family}.{key}") for name, key in _GGUF_KEYS.items()},
            where,
        )
        vocab = numbers.optional("vocab")
        if vocab is None:
            tokens = header.metadata.get("tokenizer.ggml.tokens")
            vocab = len(tokens) if isinstance(tokens, GGUFArray) else _embedding_rows(header)
        return _shape(
            family,
            numbers,
            vocab=vocab,
            parameters=sum(tensor.values for tensor in header.tensors),
            weight_bytes=_data_bytes(header),
            tensor_types=Counter(tensor.type_name for tensor in header.tensors),
        )

    @staticmethod
    def from_config(folder: Path) -> ModelShape:
        """The shape of the model in a Hugging Face or OpenVINO folder, from its ``config.json``.

        Raises:
            ModelError: There is no readable ``config.json``, or a number that every transformer
                has is missing or impossible.
        """
        path = folder / "config.json"
        config = _json_object(path)
        # Multimodal models keep the language model's numbers in a section of their own.
        text = config.get("text_config") or config.get("llm_config") or config
        if not isinstance(text, dict):
            raise ModelError("damaged: text_config is not an object", where=str(path))
        numbers = _Numbers(
            {
                name: next((text[key] for key in keys if text.get(key) is not None), None)
                for name, keys in _CONFIG_KEYS.items()
            },
            str(path),
        )
        family = text.get("model_type") or config.get("model_type")
        if not isinstance(family, str):
            raise ModelError("the config names no model_type", where=str(path))
        return _shape(
            family,
            numbers,
            vocab=numbers.required("vocab"),
            parameters=None,
            weight_bytes=_weight_files_bytes(folder),
            tensor_types={},
        )


_GGUF_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "layers": "block_count",
        "hidden": "embedding_length",
        "heads": "attention.head_count",
        "kv_heads": "attention.head_count_kv",
        "head_dim": "attention.key_length",
        "value_head_dim": "attention.value_length",
        "context": "context_length",
        "vocab": "vocab_size",
    }
)
_CONFIG_KEYS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "layers": ("num_hidden_layers", "n_layer", "num_layers"),
        "hidden": ("hidden_size", "n_embd", "d_model"),
        "heads": ("num_attention_heads", "n_head", "num_heads"),
        "kv_heads": ("num_key_value_heads", "multi_query_group_num"),
        "head_dim": ("head_dim",),
        "value_head_dim": ("v_head_dim",),
        "context": ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len"),
        "vocab": ("vocab_size", "padded_vocab_size"),
    }
)


_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "layers": "number of layers",
        "hidden": "hidden size",
        "heads": "number of attention heads",
        "kv_heads": "number of key/value heads",
        "head_dim": "head size",
        "value_head_dim": "value head size",
        "context": "context length",
        "vocab": "vocabulary size",
    }
)


class _Numbers:
    """Numbers of unknown origin, given out only when they are possible."""

    def __init__(self, raw: Mapping[str, Any], where: str) -> None:
        self._raw = raw
        self.where = where

    def optional(self, name: str) -> int | None:
        found = self.listed(name)
        return None if found is None else max(found)

    def required(self, name: str) -> int:
        number = self.optional(name)
        if number is None:
            raise ModelError(
                f"the file does not say the model's {_LABELS[name]}",
                where=self.where,
                hint="It may be no decoder-only language model",
            )
        return number

    def listed(self, name: str) -> tuple[int, ...] | None:
        raw = self._raw.get(name)
        if raw is None:
            return None
        numbers = tuple(raw) if isinstance(raw, list | tuple) else (raw,)
        low = 0 if name == "kv_heads" else 1
        if not numbers or not all(type(n) is int and low <= n <= _LARGEST for n in numbers):
            raise ModelError(
                f"damaged: the model's {_LABELS[name]} cannot be {raw!r}"[:200],
                where=self.where,
            )
        return numbers


def _shape(
    family: str,
    numbers: _Numbers,
    *,
    vocab: int,
    parameters: int | None,
    weight_bytes: int,
    tensor_types: Mapping[str, int],
) -> ModelShape:
    layers, hidden, heads = (numbers.required(name) for name in ("layers", "hidden", "heads"))
    if layers > 1 << 16:
        raise ModelError(f"damaged: {layers:,} layers", where=numbers.where)
    kv_heads = numbers.listed("kv_heads") or (heads,)
    if len(kv_heads) == 1:
        kv_heads *= layers
    if len(kv_heads) != layers or max(kv_heads) > heads:
        raise ModelError(
            f"damaged: {layers} layers of {heads} heads do not go with "
            f"{len(kv_heads)} layers of up to {max(kv_heads)} key/value heads",
            where=numbers.where,
        )
    head_dim = numbers.optional("head_dim") or max(1, hidden // heads)
    return ModelShape(
        architecture=family,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads_by_layer=kv_heads,
        head_dim=head_dim,
        value_head_dim=numbers.optional("value_head_dim") or head_dim,
        context_length=numbers.required("context"),
        vocab_size=vocab,
        parameters=parameters,
        weight_bytes=weight_bytes,
        tensor_types=MappingProxyType(dict(tensor_types)),
    )


def _embedding_rows(header: GGUFHeader) -> int:
    for tensor in header.tensors:
        if tensor.name == "token_embd.weight" and len(tensor.shape) == 2:
            return tensor.shape[1]
    raise ModelError("the file does not say the size of its vocabulary", where=str(header.path))


def _data_bytes(header: GGUFHeader) -> int:
    known = [tensor.nbytes for tensor in header.tensors if tensor.nbytes is not None]
    if len(known) == len(header.tensors):
        return sum(known)
    return header.file_bytes - header.data_offset  # a type newer than our table: all the data


def _weight_files_bytes(folder: Path) -> int:
    try:
        by_kind = (
            sum(path.stat().st_size for path in folder.glob(pattern)) for pattern in _WEIGHTS
        )
        # A folder that holds several formats holds the same weights several times.
        found = next((size for size in by_kind if size), None)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=str(folder)) from error
    if found is None:
        raise ModelError(
            "the folder holds no weights",
            where=str(folder),
            hint=f"Looked for {', '.join(_WEIGHTS)}",
        )
    return found


def _json_object(path: Path) -> dict[str, Any]:
    where = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_CONFIG_BYTES + 1)
    except FileNotFoundError as error:
        raise ModelError(
            "there is no config.json, so this is no model folder", where=str(path.parent)
        ) from error
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", where=where) from error
    if len(raw) > _MAX_CONFIG_BYTES:
        raise ModelError(f"a config of more than {_MAX_CONFIG_BYTES:,} bytes", where=where)
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"damaged: not JSON ({str(error)[:100]})", where=where) from error
    if not isinstance(data, dict):
        raise ModelError("damaged: not a JSON object", where=where)
    return data
