"""What runs an encoder's batches: a compiled graph, whoever compiled it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pilotage.engines.engine import Task
from pilotage.errors import ModelError

Floats = NDArray[np.float32]


class Runner(Protocol):
    """An encoder on its device. Called by one thread only."""

    @property
    def name(self) -> str:
        """Library and version, such as "openvino 2026.4.1"."""

    @property
    def max_len(self) -> int:
        """The longest sequence it can be given."""

    def width(self, tokens: int) -> int:
        """The tokens that a row for a sequence of `tokens` takes: more where shapes are fixed."""

    def run(self, sequences: Sequence[Sequence[int]], segments: Sequence[bytes]) -> Floats:
        """Run a batch.

        Args:
            sequences: Token ids; of any length up to `max_len`, padded by the runner.
            segments: The segment of every token, a byte each; empty is all 0.

        Returns:
            ``[batch, at least the longest, hidden]`` to embed (or ``[batch, hidden]`` where the
            graph pools by itself), ``[batch, at least the longest, 2]`` to answer questions,
            ``[batch, labels]`` to classify. What stands beyond a sequence's end is nobody's.
        """


def padded(
    sequences: Sequence[Sequence[int]],
    segments: Sequence[bytes],
    *,
    pad_id: int,
    rows: int | None = None,
    width: int | None = None,
) -> dict[str, NDArray[np.int64]]:
    """A batch as a graph takes it: ``input_ids``, ``attention_mask`` and ``token_type_ids``.

    Args:
        sequences: Token ids.
        segments: See `Runner.run`.
        pad_id: What fills the rows up, on the right.
        rows: Rows of the batch; as many as there are sequences by default.
        width: Tokens of a row; those of the longest sequence by default.
    """
    shape = (rows or len(sequences), width or max(map(len, sequences)))
    ids = np.full(shape, pad_id, np.int64)
    mask, kinds = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, (sequence, kind) in enumerate(zip(sequences, segments, strict=True)):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
        kinds[row, : len(kind)] = np.frombuffer(kind, np.uint8)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds}


def answer_names(outputs: Sequence[str], task: Task, *, where: str) -> tuple[str, ...]:
    """Which outputs of somebody's graph hold the answer.

    Raises:
        ModelError: None does.
    """
    wanted: Mapping[str, tuple[tuple[str, ...], ...]] = {
        "embed": (
            ("last_hidden_state",),
            ("token_embeddings",),
            ("hidden_states",),
            ("sentence_embedding",),
        ),
        "question-answering": (("logits",), ("start_logits", "end_logits")),
        "classify": (("logits",),),
    }
    for names in wanted[task]:
        if all(name in outputs for name in names):
            return names
    if len(outputs) == 1 and task != "question-answering":
        return (outputs[0],)
    raise ModelError(
        f"the graph's outputs are {', '.join(outputs)[:200]}, none of which is an answer to "
        f"the task {task}",
        where=where,
        hint=f"Export the model with {' and '.join(wanted[task][0])}, or set model.task",
    )


def joined(arrays: Sequence[Any]) -> Floats:
    """The answer out of one output, or out of start and end logits."""
    answer = arrays[0] if len(arrays) == 1 else np.stack(arrays, axis=-1)
    return np.asarray(answer, dtype=np.float32)
