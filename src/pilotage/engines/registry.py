"""Which engine opens a model, decided from its files alone (nothing heavy is imported)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pilotage.catalog import ModelShape, read_header
from pilotage.engines.compiled.manifest import is_artifact
from pilotage.engines.compiled.opening import inspect_artifact
from pilotage.engines.encoders.files import EncoderFiles, is_encoder
from pilotage.engines.engine import Task
from pilotage.engines.external.files import inspect_external
from pilotage.engines.external.settings import is_external
from pilotage.engines.transformers_files import (
    INSTALL,
    inspect_transformers,
    is_generator,
    require_transformers,
    runs_in_transformers,
)
from pilotage.errors import ModelError, UnsupportedModelError, UsageError
from pilotage.images import VisionInput

OPENVINO_GGUF_FAMILIES: Final = frozenset({"llama", "qwen2", "qwen3"})
"""Architectures that OpenVINO GenAI builds from a GGUF file."""

OPENVINO_GGUF_TYPES: Final = frozenset(
    {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"}
)
"""Tensor types that its GGUF reader knows; any other ends in `gguf_tensor_to_f16 failed`."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on disk that an engine of this installation can open.

    Attributes:
        path: The GGUF file, or the OpenVINO folder.
        engine: The engine that opens it.
        shape: What memory is planned with.
        task: What the model does.
        vision: How images come to it; None for a model without eyes.
        labels: A classifier's labels, by their number.
        memory_bytes: What it takes once it is loaded, where that is known from its files.
    """

    path: Path
    engine: str
    shape: ModelShape
    task: Task = "generate"
    vision: VisionInput | None = None
    labels: tuple[str, ...] = ()
    memory_bytes: int | None = None


def inspect_model(
    path: Path, engine: str = "auto", task: Task | Literal["auto"] = "auto"
) -> ModelFiles:
    """Look at a model's files and choose the engine, before anything is loaded.

    Args:
        path: A GGUF file or a model folder.
        engine: The spec's ``model.engine``.
        task: The spec's ``model.task``.

    Raises:
        UsageError: The engine asked for is not part of this version.
        ModelError: The files are damaged or incomplete.
        UnsupportedModelError: No engine here reads them; the hint names those that could.
    """
    if is_artifact(path):
        return _compiled(path, engine, task)
    if engine == "neuron":
        raise UsageError(
            "the engine neuron serves what was compiled for Inferentia or Trainium",
            where="model.engine",
            hint="Run `pilotage compile --target neuron` on this source first, and serve the "
            "folder that it makes",
        )
    if engine in ("auto", "openvino", "onnxruntime") and path.is_dir() and is_encoder(path, task):
        return _encoder(path, engine, task)
    if engine == "onnxruntime":
        raise UsageError(
            "the engine onnxruntime runs encoders, and this is none",
            where="model.engine",
            hint="Leave it at auto; or say in model.task what the encoder does",
        )
    if is_external(engine):
        shape, does = inspect_external(path, engine, task)
        return ModelFiles(path, engine, shape, does)
    if engine == "transformers" or (engine == "auto" and runs_in_transformers(path)):
        require_transformers()
        shape, vision = inspect_transformers(path)
        return ModelFiles(path, "transformers", shape, vision=vision)
    if engine not in ("auto", "openvino"):
        raise UsageError(
            f'there is no engine "{engine}"',
            where="model.engine",
            hint="Use openvino, which reads GGUF files and OpenVINO folders, or transformers, "
            "which reads safetensors folders",
        )
    if path.is_dir():
        return ModelFiles(path, "openvino", _openvino_folder(path))
    return ModelFiles(path, "openvino", _gguf(path))


def _compiled(path: Path, engine: str, task: Task | Literal["auto"]) -> ModelFiles:
    manifest, files = inspect_artifact(path, engine, task)
    return ModelFiles(
        path,
        manifest.engine,
        files.shape,
        manifest.task,
        labels=files.traits.labels,
        memory_bytes=manifest.memory_bytes,
    )


def _encoder(path: Path, engine: str, task: Task | Literal["auto"]) -> ModelFiles:
    files = EncoderFiles.of_folder(path, task)
    if engine == "onnxruntime" and files.kind != "onnx":
        raise UsageError(
            f"the engine onnxruntime needs a model.onnx, and the folder holds {files.kind}",
            where="model.engine",
            hint="Use the engine openvino, or leave it at auto",
        )
    if not (path / "tokenizer.json").is_file():
        raise ModelError(
            "incomplete: tokenizer.json is missing",
            where=str(path),
            hint="Save the model again with its fast tokenizer",
        )
    chosen = "openvino" if engine == "auto" else engine
    return ModelFiles(
        path,
        chosen,
        files.shape,
        files.task,
        labels=files.traits.labels,
        memory_bytes=files.memory_bytes(),
    )


def _gguf(path: Path) -> ModelShape:
    header = read_header(path)
    shape = ModelShape.from_gguf(header)
    if shape.architecture not in OPENVINO_GGUF_FAMILIES:
        raise UnsupportedModelError(
            f'the openvino engine cannot build the architecture "{shape.architecture}" from a GGUF',
            where=str(path),
            hint="The engine llamacpp could; or export the model to "
            "OpenVINO IR with optimum-cli and serve that folder",
        )
    strange = sorted(set(shape.tensor_types) - OPENVINO_GGUF_TYPES)
    if strange:
        count = sum(shape.tensor_types[kind] for kind in strange)
        raise UnsupportedModelError(
            f"the openvino engine cannot read {count} of its tensors, which are stored as "
            + ", ".join(strange),
            where=str(path),
            hint="The engine llamacpp could; or take a file quantised as Q4_0, Q4_1, Q8_0 or F16",
        )
    return shape


def _openvino_folder(path: Path) -> ModelShape:
    if not (path / "openvino_model.xml").is_file():
        held = "safetensors" if any(path.glob("*.safetensors")) else None
        raise UnsupportedModelError(
            f"the folder holds {held} weights" if held else "the folder holds no OpenVINO model",
            where=str(path),
            hint=_safetensors_hint(path) if held else "Looked for openvino_model.xml",
        )
    for name in ("openvino_model.bin", "openvino_tokenizer.xml", "tokenizer.json"):
        if not (path / name).is_file():
            raise ModelError(
                f"incomplete: {name} is missing",
                where=str(path),
                hint="Export the model again, with its tokenizer",
            )
    return ModelShape.from_config(path)


def _safetensors_hint(path: Path) -> str:
    if is_generator(path):
        return f"The engine transformers reads them: {INSTALL}"
    return (
        "A model that writes text goes to the engine transformers, with its config.json; "
        "or export it with optimum-cli to get an openvino_model.xml"
    )
