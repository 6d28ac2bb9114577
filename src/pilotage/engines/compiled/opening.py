"""From a compiled artifact to what a worker runs, and to what is known of it before."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pilotage.devices import DeviceSlice
from pilotage.engines.compiled.manifest import CompiledManifest, check_file, read_manifest
from pilotage.engines.config import EngineConfig
from pilotage.engines.encoders.files import DEFAULT_BATCHED_TOKENS, EncoderFiles, Kind
from pilotage.engines.engine import Task
from pilotage.errors import ModelError, UsageError

if TYPE_CHECKING:
    from pilotage.engines.encoders.engine import EncoderEngine
    from pilotage.engines.encoders.runner import Runner


def inspect_artifact(
    folder: Path, engine: str = "auto", task: Task | Literal["auto"] = "auto"
) -> tuple[CompiledManifest, EncoderFiles]:
    """An artifact's manifest and its model's facts; nothing heavy is imported.

    Args:
        folder: The artifact.
        engine: The spec's ``model.engine``.
        task: The spec's ``model.task``.

    Raises:
        UsageError: Another engine or task is asked for than it was compiled for.
        ModelError: It is damaged.
    """
    manifest = read_manifest(folder)
    if engine not in ("auto", manifest.engine):
        raise UsageError(
            f"the artifact was compiled for the engine {manifest.engine}, not {engine}",
            where="model.engine",
            hint="Leave it at auto; or compile the model for that engine",
        )
    if task not in ("auto", manifest.task):
        raise UsageError(
            f"the artifact was compiled for the task {manifest.task}, not {task}",
            where="model.task",
            hint="Leave it at auto; or compile the model for that task",
        )
    weights: dict[str, tuple[Kind, str]] = {
        "openvino": ("openvino", "openvino_model.xml"),
        "onnxruntime": ("onnx", "model.onnx"),
    }
    kind, name = weights.get(manifest.engine, ("compiled", ""))
    files = EncoderFiles.of_folder(
        folder, manifest.task, weights=(kind, (folder / name,) if name else _networks(folder))
    )
    if not (folder / "tokenizer.json").is_file():
        raise ModelError("incomplete: tokenizer.json is missing", where=str(folder))
    longest = manifest.longest
    return manifest, replace(files, longest=longest, advised=longest)


def open_artifact(config: EngineConfig, device: DeviceSlice) -> EncoderEngine:
    """Load an artifact's networks, warm them up, and put dynamic batching before them.

    Raises:
        UsageError: The spec asks for what it was not compiled for, or a library is missing.
        ModelError: A file is damaged or not the one that was compiled.
    """
    from pilotage.engines.encoders.engine import EncoderEngine  # noqa: PLC0415  numpy

    began = time.monotonic()
    folder = Path(config.path)
    manifest, files = inspect_artifact(folder, config.engine)
    if config.dtype not in ("auto", manifest.dtype):
        raise UsageError(
            f"the artifact was compiled for {manifest.dtype}, not {config.dtype}",
            where="model.dtype",
            hint="Leave it at auto; or compile the model for that",
        )
    batched_tokens = config.max_num_batched_tokens
    if batched_tokens is None and manifest.target == "neuron":
        # A step should fill the largest network: one that is not full takes as long.
        batched_tokens = max(DEFAULT_BATCHED_TOKENS, manifest.longest * manifest.batches[-1])
    return EncoderEngine(
        open_runner(folder, manifest, files, device),
        files,
        max_model_len=config.max_model_len,
        max_num_batched_tokens=batched_tokens,
        max_num_seqs=config.max_num_seqs,
        began=began,
    )


def open_runner(
    folder: Path, manifest: CompiledManifest, files: EncoderFiles, device: DeviceSlice
) -> Runner:
    """What runs an artifact's networks on a slice, every file of theirs verified before.

    Raises:
        UsageError: A library is missing.
        ModelError: A file is damaged or not the one that was compiled.
    """
    if manifest.engine == "neuron":
        from pilotage.engines.compiled import neuron_target  # noqa: PLC0415  an SDK

        return neuron_target.open_runner(folder, manifest, files, device)
    from pilotage.engines.compiled.static_runner import StaticRunner  # noqa: PLC0415  numpy

    for name in manifest.files:
        if name.startswith(("openvino_model.", "model.onnx")):
            check_file(folder, manifest, name)
    shapes = [(one.length, one.batch) for one in manifest.networks]
    if manifest.engine == "onnxruntime":
        from pilotage.engines.compiled import onnx_target  # noqa: PLC0415  an extra

        networks = onnx_target.open_networks(folder, files, shapes, device.threads)
    else:
        from pilotage.engines.compiled import openvino_target  # noqa: PLC0415  heavy

        networks = openvino_target.open_networks(
            folder, files, shapes, manifest.dtype, device.threads
        )
    name = f"{manifest.compiler}, compiled for {'/'.join(map(str, manifest.buckets))}"
    runner = StaticRunner(networks, pad_id=files.pad_id, name=name)
    runner.warm_up()
    return runner


def _networks(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted((folder / "networks").glob("*.pt")))
