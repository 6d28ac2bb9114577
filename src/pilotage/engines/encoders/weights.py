"""An encoder's tensors under one set of names, whichever family the file belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from pilotage.engines.encoders.architecture import EncoderArchitecture, Family
from pilotage.engines.encoders.safetensors_file import SafetensorsFiles
from pilotage.errors import ModelError

_BERT_LAYER: Final = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attended": "attention.output.dense",
    "attended_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm": "output.LayerNorm",
}
_LAYERS: Final[Mapping[Family, Mapping[str, str]]] = {
    "bert": _BERT_LAYER,
    "roberta": _BERT_LAYER,
    "electra": _BERT_LAYER,
    "distilbert": {
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "attended": "attention.out_lin",
        "attended_norm": "sa_layer_norm",
        "up": "ffn.lin1",
        "down": "ffn.lin2",
        "norm": "output_layer_norm",
    },
    "mpnet": {
        "query": "attention.attn.q",
        "key": "attention.attn.k",
        "value": "attention.attn.v",
        "attended": "attention.attn.o",
        "attended_norm": "attention.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm": "output.LayerNorm",
    },
}
_OLD_NAMES: Final = {".weight": ".gamma", ".bias": ".beta"}


class EncoderWeights:
    """Finds tensors by what they are for, and checks their shapes.

    Args:
        folder: The model's folder.
        architecture: What its config says.

    Raises:
        ModelError: There are no readable weights.
    """

    def __init__(self, folder: Path, architecture: EncoderArchitecture) -> None:
        self._tensors = SafetensorsFiles.of_folder(folder)
        self._where = str(folder)
        self._family = architecture.family
        # A bare …Model keeps its tensors at the top; one with a head keeps them under its name.
        prefixed = f"{self._family}.embeddings.word_embeddings.weight" in self._tensors
        self._prefix = f"{self._family}." if prefixed else ""

    def body(self, name: str, *shape: int) -> NDArray[Any]:
        """The tensor `name` of the encoder itself, such as ``embeddings.LayerNorm.weight``."""
        return self._get(self._prefix + name, shape)

    def layer(self, number: int, part: str, kind: str, *shape: int) -> NDArray[Any]:
        """The "weight" or "bias" (`kind`) of a part of a layer, such as "query"."""
        stem = "transformer.layer" if self._family == "distilbert" else "encoder.layer"
        return self.body(f"{stem}.{number}.{_LAYERS[self._family][part]}.{kind}", *shape)

    def head(self, name: str, *shape: int) -> NDArray[Any]:
        """The tensor `name` of the task's head, such as ``classifier.weight``."""
        return self._get(name, shape)

    def _get(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        found = name
        for new, old in _OLD_NAMES.items():  # layer norms of files from before 2019
            if name not in self._tensors and name.endswith(new):
                found = name.removesuffix(new) + old
        if found not in self._tensors:
            raise ModelError(
                f"the weights hold no {name}",
                where=self._where,
                hint="The config and the weights are not of the same model, or model.task asks "
                "for a head that it was not trained with",
            )
        actual = self._tensors.shape(found)
        if actual != shape:
            raise ModelError(
                f"{found} has the shape {list(actual)}, and the config wants {list(shape)}",
                where=self._where,
            )
        return self._tensors[found]
