"""An encoder's folder: what is in it, what it does and what it takes; nothing heavy is imported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pilotage.catalog import ModelShape
from pilotage.engines.encoders.architecture import (
    FAMILIES,
    EncoderArchitecture,
    read_config,
    task_of,
)
from pilotage.engines.encoders.pooling import Pooling
from pilotage.engines.engine import EncoderTraits, Task
from pilotage.errors import ModelError

Kind = Literal["safetensors", "openvino", "onnx", "compiled"]

DEFAULT_BATCHED_TOKENS: Final = 1024
"""Tokens of a batch: a third of a second on two cores, beyond which a batch is no faster."""

_RUNTIME_BYTES: Final = 200 << 20
_ONNX: Final = ("model.onnx", "onnx/model.onnx")


@dataclass(frozen=True, slots=True)
class EncoderFiles:
    """An encoder on disk.

    Attributes:
        folder: Where it is.
        kind: How its weights are stored.
        weights: The files with them: safetensors, an OpenVINO ``.xml``, or an ONNX file.
        model_type: The config's own word for its family.
        task: What it does.
        hidden: Width of its token vectors.
        layers: Transformer blocks.
        heads: Attention heads.
        vocab_size: Tokens.
        longest: The longest sequence that its position table allows.
        advised: The longest sequence that it is meant for: sentence-transformers'
            ``max_seq_length`` where the folder has one, else `longest`.
        pad_id: The token that fills batches up.
        pooling: How token vectors become an embedding.
        traits: What its answers mean.
    """

    folder: Path
    kind: Kind
    weights: tuple[Path, ...]
    model_type: str
    task: Task
    hidden: int
    layers: int
    heads: int
    vocab_size: int
    longest: int
    advised: int
    pad_id: int
    pooling: Pooling
    traits: EncoderTraits

    @staticmethod
    def of_folder(
        folder: Path,
        task: Task | Literal["auto"] = "auto",
        *,
        weights: tuple[Kind, tuple[Path, ...]] | None = None,
    ) -> EncoderFiles:
        """Read the folder's config and see which weights it has.

        Args:
            folder: The model's folder.
            task: The spec's ``model.task``.
            weights: What the weights are, where that is known: those of a compiled artifact.

        Raises:
            ModelError: A file is missing or damaged.
            UnsupportedModelError: Its family is unknown and there is no exported graph, or its
                embeddings are made in a way that is not known here.
        """
        config = read_config(folder)
        where = str(folder / "config.json")
        kind, stored = weights or _weights(folder, config)
        known = EncoderArchitecture.from_config(
            config if kind == "safetensors" else _as_known(config), task, where=where
        )
        if known.task != "embed" or not (longest := _advised(folder)):
            longest = known.max_len
        pooling = Pooling.of_folder(folder) if known.task == "embed" else Pooling()
        width = pooling.width(known.hidden)
        return EncoderFiles(
            folder=folder,
            kind=kind,
            weights=stored,
            model_type=str(config.get("model_type")),
            task=known.task,
            hidden=known.hidden,
            layers=known.layers,
            heads=known.heads,
            vocab_size=known.vocab_size,
            longest=known.max_len,
            advised=min(longest, known.max_len),
            pad_id=known.pad_id,
            pooling=pooling,
            traits=EncoderTraits(
                labels=known.labels,
                multi_label=known.multi_label,
                hidden=width,
                dimensions=_matryoshka(config, width),
            ),
        )

    @property
    def shape(self) -> ModelShape:
        """The encoder's numbers for the planner: a transformer without a KV cache."""
        size = self.hidden // self.heads
        return ModelShape(
            architecture=self.model_type,
            layers=self.layers,
            hidden=self.hidden,
            heads=self.heads,
            kv_heads_by_layer=(0,) * self.layers,
            head_dim=size,
            value_head_dim=size,
            context_length=self.advised,
            vocab_size=self.vocab_size,
            parameters=None,
            weight_bytes=self.weight_bytes,
            tensor_types={},
        )

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights as they are stored."""
        try:
            return sum(
                path.stat().st_size
                for first in self.weights
                for path in (first, first.with_suffix(".bin"), Path(f"{first}_data"))
                if path.is_file()
            )
        except OSError as error:
            raise ModelError(f"cannot be read: {error.strerror}", where=str(self.folder)) from error

    def memory_bytes(self, max_num_batched_tokens: int | None = None) -> int:
        """What the encoder takes once it is loaded, without loading it.

        Weights are computed with as float32, and kept twice for a part: the plugin packs those of
        matrix products anew. A batch of ``t`` tokens in sequences of the longest length ``l`` has
        some sixteen activations of ``t * hidden`` and scores of ``t * l * heads`` at a time.

        Args:
            max_num_batched_tokens: Tokens of a batch.
        """
        tokens = max(max_num_batched_tokens or DEFAULT_BATCHED_TOKENS, self.longest)
        widest = 2.0 if self.kind == "safetensors" and self._half_precision() else 1.0
        weights = self.weight_bytes * widest * 2
        activations = 4 * (16 * tokens * self.hidden + tokens * self.longest * self.heads)
        return math.ceil(weights) + activations + _RUNTIME_BYTES

    def _half_precision(self) -> bool:
        declared = read_config(self.folder)
        return str(declared.get("torch_dtype", declared.get("dtype"))) in ("float16", "bfloat16")


def is_encoder(folder: Path, task: Task | Literal["auto"] = "auto") -> bool:
    """Whether the folder holds an encoder: by its family, by its head, or because `task` says so.

    Args:
        folder: A model folder.
        task: The spec's ``model.task``.
    """
    if task != "auto":
        return task != "generate"
    try:
        config = read_config(folder)
    except ModelError:
        return False
    found = task_of(config)
    if config.get("model_type") in FAMILIES:
        return found is not None and not config.get("is_decoder")
    return found in ("question-answering", "classify") and _exported(folder) is not None


def _weights(folder: Path, config: Mapping[str, Any]) -> tuple[Kind, tuple[Path, ...]]:
    stored = tuple(sorted(folder.glob("*.safetensors")))
    if stored and config.get("model_type") in FAMILIES:
        return "safetensors", stored
    exported = _exported(folder)
    if exported is not None:
        return ("openvino" if exported.suffix == ".xml" else "onnx"), (exported,)
    if stored:
        return "safetensors", stored  # of a family that is refused with its name
    pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
    raise ModelError(
        "the folder holds no weights that can be used",
        where=str(folder),
        hint="Pickled weights (*.bin, *.pt) are never opened, since they can run code; convert "
        "them to safetensors"
        if pickled
        else f"Looked for *.safetensors, openvino_model.xml, {', '.join(_ONNX)}",
    )


def _exported(folder: Path) -> Path | None:
    for name in ("openvino_model.xml", *_ONNX):
        if (folder / name).is_file():
            return folder / name
    return None


def _as_known(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of an exported graph: how it is built inside does not matter."""
    if config.get("model_type") in FAMILIES:
        return config
    return {**config, "model_type": "bert", "position_embedding_type": "absolute"}


def _advised(folder: Path) -> int | None:
    path = folder / "sentence_bert_config.json"
    if not path.is_file():
        return None
    length = read_config(folder, path.name).get("max_seq_length")
    return length if type(length) is int and length > 0 else None


def _matryoshka(config: Mapping[str, Any], hidden: int) -> tuple[int, ...]:
    """Lengths an embedding may be cut to; the keys are vLLM's (read 2026-11)."""
    named = config.get("matryoshka_dimensions")
    if isinstance(named, list):
        return tuple(sorted({n for n in named if type(n) is int and 0 < n <= hidden}))
    return tuple(range(1, hidden + 1)) if config.get("is_matryoshka") is True else ()
