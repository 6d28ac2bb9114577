"""The encoder as a torch module, to be traced for NeuronCores; the uncompiled model, too.

Only whoever compiles or runs for Neuron imports this: it needs torch and transformers.
"""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from pilotage.engines.compiled.manifest import Operators
from pilotage.engines.encoders.files import EncoderFiles
from pilotage.engines.encoders.runner import Floats, padded
from pilotage.errors import ModelError

_CLASSES: Final = {
    "embed": "AutoModel",
    "question-answering": "AutoModelForQuestionAnswering",
    "classify": "AutoModelForSequenceClassification",
}


class TracedEncoder(torch.nn.Module):  # type: ignore[misc]  # no types in some installations
    """An encoder with positional inputs and one output, as tracing wants it.

    Args:
        model: From transformers.
        inputs: Names of its inputs, in the order of `forward`.
        task: What it does.
    """

    def __init__(self, model: Any, inputs: Sequence[str], task: str) -> None:
        super().__init__()
        self.model = model
        self.inputs = tuple(inputs)
        self.task = task

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        """The answer as `pilotage.engines.encoders.runner.Runner.run` gives it."""
        answer = self.model(**dict(zip(self.inputs, given, strict=True)), return_dict=True)
        if self.task == "question-answering":
            return torch.stack((answer.start_logits, answer.end_logits), dim=-1)
        logits: torch.Tensor = answer.last_hidden_state if self.task == "embed" else answer.logits
        return logits


def load_model(files: EncoderFiles, inputs: Sequence[str]) -> TracedEncoder:
    """The model from its safetensors, in float32 on the CPU.

    Raises:
        ModelError: The folder holds no safetensors, or transformers cannot open it.
    """
    if files.kind != "safetensors":
        raise ModelError(
            f"compiling for Neuron needs safetensors, and the folder holds {files.kind}",
            where=str(files.folder),
        )
    import transformers  # noqa: PLC0415  slow to import, and only to compile

    try:
        model = getattr(transformers, _CLASSES[files.task]).from_pretrained(
            files.folder,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            attn_implementation="eager",  # plain products and a softmax: what compilers know
            dtype=torch.float32,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"transformers cannot open it: {str(error)[:200]}", where=str(files.folder)
        ) from error
    traced = TracedEncoder(model.eval(), inputs, files.task)
    traced.eval()
    return traced


def example_for(inputs: Sequence[str], length: int, batch: int) -> tuple[torch.Tensor, ...]:
    """Inputs of a shape to trace with; one token is padding, as a mask of ones may be left out."""
    ones = torch.ones((batch, length), dtype=torch.int64)
    mask = ones.clone()
    mask[:, 1:][:, -1:] = 0
    values = {"input_ids": ones, "attention_mask": mask, "token_type_ids": ones * 0}
    return tuple(values[name] for name in inputs)


class TorchNetwork:
    """A TorchScript module of one shape. See `static_runner.Network`."""

    def __init__(self, module: Any, inputs: Sequence[str]) -> None:
        self._module = module
        self._inputs = tuple(inputs)

    def infer(self, batch: Mapping[str, NDArray[np.int64]]) -> Floats:
        """Run a full batch."""
        with torch.inference_mode():
            answer = self._module(*(torch.from_numpy(batch[name]) for name in self._inputs))
        return np.asarray(answer.float().cpu().numpy(), dtype=np.float32)


class TorchReference:
    """The uncompiled model on the CPU. See `pilotage.engines.encoders.runner.Runner`."""

    def __init__(self, model: TracedEncoder, files: EncoderFiles) -> None:
        self._network = TorchNetwork(model, model.inputs)
        self._pad_id = files.pad_id
        self.max_len = files.longest
        self.name = f"torch {torch.__version__}"

    def width(self, tokens: int) -> int:
        """Shapes are free."""
        return tokens

    def run(self, sequences: Sequence[Sequence[int]], segments: Sequence[bytes]) -> Floats:
        """Run a batch."""
        return self._network.infer(padded(sequences, segments, pad_id=self._pad_id))


def script_bytes(module: Any) -> bytes:
    """A TorchScript module as a file's content."""
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    return buffer.getvalue()


def load_script(content: bytes, where: Path) -> Any:
    """A module from `script_bytes`; `content` has been verified by whoever calls.

    ``torch.jit.load`` reads the archive with TorchScript's own C++ reader and not with Python's
    pickle: a foreign name in it is an error and never an import (tested). But TorchScript is a
    program, and Neuron's classes take binaries from it, so only what our own compile wrote comes
    here: from bytes whose digest was checked, never from a path that may change in between.

    Raises:
        ModelError: It cannot be loaded.
    """
    try:
        return torch.jit.load(io.BytesIO(content), map_location="cpu").eval()
    except RuntimeError as error:
        raise ModelError(
            f"TorchScript cannot open it: {str(error).strip()[:200]}", where=str(where)
        ) from error


def operators_left(
    model: TracedEncoder, example: tuple[torch.Tensor, ...], module: Any
) -> Operators:
    """What the compiler took: the model's operators, less those still in the compiled graph.

    A compiled part is one ``neuron::forward`` there; any ``aten::`` beside it runs on the CPU.
    """
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is fixed by tracing is meant to be
        before = torch.jit.trace(model, example, check_trace=False)
    kinds = Counter(_kinds(before.inlined_graph.nodes()))
    left = Counter(_kinds(module.inlined_graph.nodes()))
    return Operators(
        total=kinds.total(),
        taken=max(kinds.total() - left.total(), 0),
        kinds=dict(sorted(kinds.items())),
        left=dict(sorted(left.items())),
    )


def _kinds(nodes: Any) -> Iterator[str]:
    for node in nodes:
        if node.kind().startswith("aten::"):
            yield node.kind()
        for block in node.blocks():
            yield from _kinds(block.nodes())
