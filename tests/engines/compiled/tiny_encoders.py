"""Tiny encoders with random weights, written without torch."""

import json
from pathlib import Path
from typing import Any

import numpy as np

TINY = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 120,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "pad_token_id": 0,
    "hidden_act": "gelu",
}
HEADS = {
    "embed": ("BertModel", {}),
    "question-answering": ("BertForQuestionAnswering", {"qa_outputs": (2, 32)}),
    "classify": ("BertForSequenceClassification", {"classifier": (3, 32)}),
}


def save_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    header: dict[str, Any] = {}
    place = 0
    for name, tensor in tensors.items():
        end = place + tensor.nbytes
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [place, end]}
        place = end
    text = json.dumps(header).encode()
    data = b"".join(tensor.tobytes() for tensor in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def tiny_bert(task: str = "embed") -> dict[str, np.ndarray]:
    draw = np.random.default_rng(len(task))
    tensors: dict[str, np.ndarray] = {}

    def linear(name: str, wide: int, narrow: int) -> None:
        tensors[f"{name}.weight"] = draw.normal(0, 0.3, (wide, narrow)).astype("<f4")
        tensors[f"{name}.bias"] = draw.normal(0, 0.1, wide).astype("<f4")

    def norm(name: str) -> None:
        tensors[f"{name}.weight"] = draw.normal(1, 0.2, 32).astype("<f4")
        tensors[f"{name}.bias"] = draw.normal(0, 0.2, 32).astype("<f4")

    prefix = "" if task == "embed" else "bert."
    for table, rows in (("word", 120), ("position", 64), ("token_type", 2)):
        name = f"{prefix}embeddings.{table}_embeddings.weight"
        tensors[name] = draw.normal(0, 0.5, (rows, 32)).astype("<f4")
    norm(f"{prefix}embeddings.LayerNorm")
    for number in range(2):
        layer = f"{prefix}encoder.layer.{number}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear(f"{layer}.attention.{part}", 32, 32)
        norm(f"{layer}.attention.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", 64, 32)
        linear(f"{layer}.output.dense", 32, 64)
        norm(f"{layer}.output.LayerNorm")
    linear(f"{prefix}pooler.dense", 32, 32)
    for name, shape in HEADS[task][1].items():
        linear(name, *shape)
    return tensors


def make_tiny(folder: Path, task: str = "embed") -> Path:
    """Write a tiny BERT for a task into `folder`, which is made."""
    folder.mkdir()
    config: dict[str, Any] = {**TINY, "architectures": [HEADS[task][0]]}
    if task == "classify":
        config["id2label"] = {"0": "bad", "1": "so-so", "2": "good"}
        config["label2id"] = {"bad": 0, "so-so": 1, "good": 2}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "README.md").write_text("not a part of the model")
    save_safetensors(folder / "model.safetensors", tiny_bert(task))
    return folder


def _field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def make_onnx(folder: Path) -> Path:
    """An ONNX model that looks token vectors up in a table: the smallest encoder there is."""
    table = np.random.default_rng(0).normal(size=(120, 8)).astype("<f4")
    free = b"".join(_field(1, _field(2, name)) for name in ("batch", "tokens"))

    def value(name: str, kind: int, shape: bytes) -> bytes:
        return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, shape)))

    weights = b"".join(_field(1, size) for size in table.shape)
    weights += _field(2, 1) + _field(8, "table") + _field(9, table.tobytes())
    node = _field(1, "table") + _field(1, "input_ids") + _field(2, "last_hidden_state")
    node += _field(4, "Gather")
    graph = _field(1, node) + _field(2, "encoder") + _field(5, weights)
    graph += _field(11, value("input_ids", 7, free)) + _field(11, value("attention_mask", 7, free))
    graph += _field(12, value("last_hidden_state", 1, free + _field(1, _field(1, 8))))
    model = _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13))
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model)
    config = {**TINY, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    return folder
