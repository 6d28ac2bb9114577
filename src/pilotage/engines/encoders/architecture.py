"""What an encoder is, read from its ``config.json`` alone; nothing heavy is imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pilotage.engines.engine import Task
from pilotage.errors import ModelError, UnsupportedModelError

Family = Literal["bert", "roberta", "distilbert", "mpnet", "electra"]
"""How the weights are laid out and named."""

FAMILIES: Final[Mapping[str, Family]] = {
    "bert": "bert",
    "roberta": "roberta",
    "xlm-roberta": "roberta",
    "camembert": "roberta",
    "distilbert": "distilbert",
    "mpnet": "mpnet",
    "electra": "electra",
}
"""``model_type`` of a config to the family that reads its weights."""

_TASKS: Final[Mapping[str, Task]] = {
    "ForQuestionAnswering": "question-answering",
    "ForSequenceClassification": "classify",
    "ForMaskedLM": "embed",
    "ForPreTraining": "embed",
    "Model": "embed",
}
_MAX_CONFIG_BYTES: Final = 16 << 20
_LARGEST: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class EncoderArchitecture:
    """The numbers of an encoder.

    Attributes:
        model_type: The config's own word, such as ``xlm-roberta``.
        family: Who reads its weights.
        task: What it does.
        layers: Transformer blocks.
        hidden: Width of the residual stream, and of ``last_hidden_state``.
        heads: Attention heads a layer.
        intermediate: Width of the feed-forward network.
        embedding: Width of the embeddings; `hidden` for all but ELECTRA.
        activation: The feed-forward network's, by its Hugging Face name.
        norm_epsilon: Of the layer norms.
        vocab_size: Tokens.
        positions: Rows of the position table.
        first_position: The row of the first token: 0, or ``pad_token_id + 1`` for families that
            count positions from the padding token.
        segments: Kinds of segments; 0 for families without.
        pad_id: The token that fills a batch up.
        buckets: Buckets of relative distances (MPNet), else 0.
        labels: A classifier's labels, by number.
        multi_label: Whether its labels do not exclude one another, so that each has a probability
            of its own (``problem_type`` "multi_label_classification", or one label only).
    """

    model_type: str
    family: Family
    task: Task
    layers: int
    hidden: int
    heads: int
    intermediate: int
    embedding: int
    activation: str
    norm_epsilon: float
    vocab_size: int
    positions: int
    first_position: int
    segments: int
    pad_id: int
    buckets: int = 0
    labels: tuple[str, ...] = ()
    multi_label: bool = False

    @property
    def max_len(self) -> int:
        """The longest sequence, special tokens included."""
        return self.positions - self.first_position

    @property
    def needs_segments(self) -> bool:
        """Whether the model tells the two texts of a pair apart by segment."""
        return self.segments > 1

    @staticmethod
    def from_folder(folder: Path, task: Task | Literal["auto"] = "auto") -> EncoderArchitecture:
        """Read the folder's ``config.json``.

        Args:
            folder: A Hugging Face model folder.
            task: What the model shall do; "auto" is what its ``architectures`` say.

        Raises:
            ModelError: The config is missing or damaged.
            UnsupportedModelError: It is not one of the families here.
        """
        return EncoderArchitecture.from_config(
            read_config(folder), task, where=str(folder / "config.json")
        )

    @staticmethod
    def from_config(
        config: Mapping[str, Any], task: Task | Literal["auto"] = "auto", *, where: str
    ) -> EncoderArchitecture:
        """The architecture that `config` describes; `where` is for messages. See `from_folder`."""
        model_type = str(config.get("model_type"))
        family = FAMILIES.get(model_type)
        if family is None:
            raise UnsupportedModelError(
                f'the encoder family "{model_type}" is not among those Pilotage builds',
                where=where,
                hint=f"It builds {', '.join(FAMILIES)}; any other encoder works as a model.onnx "
                "in the folder (optimum-cli export onnx)",
            )
        _refuse_variants(config, where)
        numbers = _Numbers(config, where)
        distil = family == "distilbert"
        hidden = numbers.whole("dim" if distil else "hidden_size")
        pad_id = numbers.whole(
            "pad_token_id", default=1 if family in ("roberta", "mpnet") else 0, low=0
        )
        offset = pad_id + 1 if family in ("roberta", "mpnet") else 0
        chosen = task_of(config) if task == "auto" else task
        if chosen is None or chosen == "generate":
            raise UnsupportedModelError(
                "the config does not say what this encoder is for",
                where=where,
                hint="Set model.task to embed, question-answering or classify",
            )
        labels = _labels(config, where) if chosen == "classify" else ()
        built = EncoderArchitecture(
            model_type=model_type,
            family=family,
            task=chosen,
            layers=numbers.whole("n_layers" if distil else "num_hidden_layers"),
            hidden=hidden,
            heads=numbers.whole("n_heads" if distil else "num_attention_heads"),
            intermediate=numbers.whole("hidden_dim" if distil else "intermediate_size"),
            embedding=numbers.whole("embedding_size", default=hidden)
            if family == "electra"
            else hidden,
            activation=str(config.get("activation" if distil else "hidden_act", "gelu")),
            norm_epsilon=1e-12 if distil else numbers.real("layer_norm_eps", default=1e-12),
            vocab_size=numbers.whole("vocab_size"),
            positions=numbers.whole("max_position_embeddings", default=512),
            first_position=offset,
            segments=0
            if family in ("distilbert", "mpnet")
            else numbers.whole("type_vocab_size", default=2),
            pad_id=pad_id,
            buckets=numbers.whole("relative_attention_num_buckets", default=32)
            if family == "mpnet"
            else 0,
            labels=labels,
            multi_label=len(labels) == 1
            or config.get("problem_type") == "multi_label_classification",
        )
        if built.hidden % built.heads or built.max_len < 1:
            raise ModelError(
                f"damaged: {built.heads} heads of a width of {built.hidden} and "
                f"{built.positions} positions cannot be",
                where=where,
            )
        return built


def task_of(config: Mapping[str, Any]) -> Task | None:
    """What the config's ``architectures`` say the model does; None when they say nothing."""
    named = config.get("architectures")
    name = named[0] if isinstance(named, list) and named else "Model"
    if isinstance(name, str):
        for ending, task in _TASKS.items():
            if name.endswith(ending):
                return task
    return None


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """The JSON object in a file of `folder`.

    Raises:
        ModelError: It is missing, too large, or no JSON object.
    """
    path = folder / name
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    if len(raw) > _MAX_CONFIG_BYTES:
        raise ModelError(f"more than {_MAX_CONFIG_BYTES:,} bytes", where=str(path))
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"damaged: not JSON ({str(error)[:100]})", where=str(path)) from error
    if not isinstance(data, dict):
        raise ModelError("damaged: not a JSON object", where=str(path))
    return data


def _refuse_variants(config: Mapping[str, Any], where: str) -> None:
    position = config.get("position_embedding_type", "absolute")
    if position != "absolute" or config.get("is_decoder") or config.get("add_cross_attention"):
        what = "a decoder" if position == "absolute" else f"{position} position embeddings"
        raise UnsupportedModelError(
            f"{what}, which the encoder builder does not have",
            where=where,
            hint="Export it (optimum-cli export onnx) and serve the folder with its model.onnx",
        )


def _labels(config: Mapping[str, Any], where: str) -> tuple[str, ...]:
    named = config.get("id2label")
    if named is None:
        count = _Numbers(config, where).whole("num_labels", default=2)
        return tuple(f"LABEL_{number}" for number in range(min(count, 1 << 16)))
    try:
        by_number = {int(number): str(label) for number, label in named.items()}
        return tuple(by_number[number] for number in range(len(by_number)))
    except (AttributeError, KeyError, ValueError) as error:
        raise ModelError("damaged: id2label does not number the labels", where=where) from error


class _Numbers:
    """Numbers of unknown origin, given out only when they are possible."""

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        self._config = config
        self._where = where

    def whole(self, key: str, *, default: int | None = None, low: int = 1) -> int:
        value = self._config.get(key)
        if value is None and default is not None:
            return default
        if type(value) is not int or not low <= value <= _LARGEST:
            raise ModelError(f"damaged: {key} cannot be {value!r}"[:200], where=self._where)
        return value

    def real(self, key: str, *, default: float) -> float:
        value = self._config.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise ModelError(f"damaged: {key} cannot be {value!r}"[:200], where=self._where)
        return float(value)
