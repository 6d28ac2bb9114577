"""BERT and its relatives as OpenVINO graphs, straight from config.json and safetensors.

Neither torch nor an export step takes part: the graph is some twenty operations a layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import openvino as ov
from openvino import opset13 as ops

from pilotage.engines.encoders import graph as g
from pilotage.engines.encoders.architecture import EncoderArchitecture
from pilotage.engines.encoders.relative_positions import relative_bias
from pilotage.engines.encoders.weights import EncoderWeights
from pilotage.engines.engine import Task


@dataclass(frozen=True, slots=True)
class EncoderGraph:
    """An encoder as an OpenVINO model.

    Attributes:
        model: Inputs ``input_ids``, ``attention_mask`` and, where `needs_segments`,
            ``token_type_ids``: int64 ``[batch, tokens]``, both dimensions free. One float32
            output: ``last_hidden_state`` ``[batch, tokens, hidden]`` to embed; ``logits``
            ``[batch, tokens, 2]`` (start, end) to answer questions, ``[batch, labels]`` to
            classify. Padding is on the right, with `pad_id` and a mask of 0.
        task: What it does.
        hidden: Width of ``last_hidden_state``.
        max_len: The longest sequence it can be given.
        needs_segments: Whether it has the third input.
        labels: A classifier's labels, by number.
        pad_id: The token that fills a batch up.
    """

    model: Any
    task: Task
    hidden: int
    max_len: int
    needs_segments: bool
    labels: tuple[str, ...]
    pad_id: int


def build_encoder(folder: Path, task: Task | Literal["auto"] = "auto") -> EncoderGraph:
    """Build the encoder in a Hugging Face folder.

    Args:
        folder: Holds ``config.json`` and ``*.safetensors``.
        task: What it shall do; "auto" is what its config says.

    Raises:
        ModelError: A file is missing or damaged, or config and weights do not go together.
        UnsupportedModelError: It is of no family that is built here.
    """
    architecture = EncoderArchitecture.from_folder(folder, task)
    return _Builder(architecture, EncoderWeights(folder, architecture)).build()


class _Builder:
    def __init__(self, architecture: EncoderArchitecture, weights: EncoderWeights) -> None:
        self.of = architecture
        self.weights = weights

    def build(self) -> EncoderGraph:
        of = self.of
        ids, mask = g.integer_input("input_ids"), g.integer_input("attention_mask")
        inputs = [ids, mask]
        if of.needs_segments:
            inputs.append(g.integer_input("token_type_ids"))
        distances = None
        if of.buckets:
            table = self.weights.body(
                "encoder.relative_attention_bias.weight", of.buckets, of.heads
            )
            distances = relative_bias(table, g.token_count(ids), of.max_len)
        bias = g.attention_bias(mask, distances)
        x = self._embeddings(ids, inputs[2] if of.needs_segments else None)
        for number in range(of.layers):
            x = self._layer(x, bias, number)
        answer, name = self._head(x)
        answer.output(0).get_tensor().set_names({name})
        model = ov.Model([ops.result(answer)], inputs, of.model_type)
        return EncoderGraph(
            model=model,
            task=of.task,
            hidden=of.hidden,
            max_len=of.max_len,
            needs_segments=of.needs_segments,
            labels=of.labels,
            pad_id=of.pad_id,
        )

    def _embeddings(self, ids: g.Node, segments: g.Node | None) -> g.Node:
        of, body = self.of, self.weights.body
        width = of.embedding
        x = g.rows(body("embeddings.word_embeddings.weight", of.vocab_size, width), ids)
        places = body("embeddings.position_embeddings.weight", of.positions, width)
        if of.first_position:
            shown = ops.convert(ops.not_equal(ids, g.scalar(of.pad_id)), "i64")
            x = ops.add(x, g.rows(places, g.positions_from_mask(shown, of.first_position)))
        else:
            x = ops.add(x, g.first_rows(places, g.token_count(ids)))
        if of.segments:
            kinds = body("embeddings.token_type_embeddings.weight", of.segments, width)
            x = ops.add(x, g.constant(kinds[0]) if segments is None else g.rows(kinds, segments))
        x = g.layer_norm(
            x,
            body("embeddings.LayerNorm.weight", width),
            body("embeddings.LayerNorm.bias", width),
            of.norm_epsilon,
        )
        if width != of.hidden:
            x = g.linear(
                x,
                body("embeddings_project.weight", of.hidden, width),
                body("embeddings_project.bias", of.hidden),
            )
        return x

    def _layer(self, x: g.Node, bias: g.Node, number: int) -> g.Node:
        of = self.of
        size = of.hidden // of.heads

        def linear(x: g.Node, part: str, wide: int, narrow: int) -> g.Node:
            weight = self.weights.layer(number, part, "weight", wide, narrow)
            return g.linear(x, weight, self.weights.layer(number, part, "bias", wide))

        def norm(x: g.Node, part: str) -> g.Node:
            weight = self.weights.layer(number, part, "weight", of.hidden)
            shift = self.weights.layer(number, part, "bias", of.hidden)
            return g.layer_norm(x, weight, shift, of.norm_epsilon)

        query, key, value = (
            linear(x, part, of.hidden, of.hidden) for part in ("query", "key", "value")
        )
        mixed = g.attention(query, key, value, bias, heads=of.heads, size=size)
        x = norm(ops.add(linear(mixed, "attended", of.hidden, of.hidden), x), "attended_norm")
        wide = g.activation(linear(x, "up", of.intermediate, of.hidden), of.activation)
        return norm(ops.add(linear(wide, "down", of.hidden, of.intermediate), x), "norm")

    def _head(self, x: g.Node) -> tuple[g.Node, str]:
        if self.of.task == "question-answering":
            return self._head_linear(x, "qa_outputs", 2), "logits"
        if self.of.task == "classify":
            return self._classifier(g.first_token(x)), "logits"
        return x, "last_hidden_state"

    def _classifier(self, x: g.Node) -> g.Node:
        """The families' own ways from the first token's state to the logits."""
        of, count = self.of, len(self.of.labels)
        match of.family:
            case "bert":
                pooler = self.weights.body("pooler.dense.weight", of.hidden, of.hidden)
                shift = self.weights.body("pooler.dense.bias", of.hidden)
                return self._head_linear(ops.tanh(g.linear(x, pooler, shift)), "classifier", count)
            case "distilbert":
                x = ops.relu(self._head_linear(x, "pre_classifier", of.hidden))
                return self._head_linear(x, "classifier", count)
            case "electra":
                x = g.activation(self._head_linear(x, "classifier.dense", of.hidden), "gelu")
            case "roberta" | "mpnet":
                x = ops.tanh(self._head_linear(x, "classifier.dense", of.hidden))
        return self._head_linear(x, "classifier.out_proj", count)

    def _head_linear(self, x: g.Node, name: str, width: int) -> g.Node:
        weight = self.weights.head(f"{name}.weight", width, self.of.hidden)
        return g.linear(x, weight, self.weights.head(f"{name}.bias", width))
