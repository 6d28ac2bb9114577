"""Which files the engines with a server of their own read."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from pilotage.catalog import ModelShape, read_header
from pilotage.engines.dense_layout import dense_config
from pilotage.engines.engine import Task
from pilotage.engines.external.settings import ExternalEngine
from pilotage.errors import ModelError, UnsupportedModelError, UsageError

_LARGEST_ADAPTER_CONFIG: Final = 1 << 20


def inspect_external(
    path: Path, engine: ExternalEngine, task: Task | Literal["auto"]
) -> tuple[ModelShape, Task]:
    """The shape of a model that is given to one of these engines, and what it does.

    llama-server reads GGUF files. vLLM reads safetensors folders; a GGUF file is turned into one
    when it is served the first time, if that can be done.

    Raises:
        UsageError: The engine does not do such a task.
        ModelError: The files are damaged or incomplete.
        UnsupportedModelError: The engine does not read them.
    """
    if task not in ("auto", "generate", "embed"):
        raise UsageError(
            f"the engine {engine} does not do the task {task}",
            where="model.task",
            hint="Leave model.engine at auto for encoders",
        )
    does: Task = "embed" if task == "embed" else "generate"
    if path.is_dir():
        return _folder(path, engine), does
    header = read_header(path)
    if engine == "vllm":
        dense_config(header, dtype="bfloat16", vocab_size=0)  # refuses what cannot be turned
    return ModelShape.from_gguf(header), does


def _folder(path: Path, engine: ExternalEngine) -> ModelShape:
    if engine == "llamacpp":
        raise UnsupportedModelError(
            "llama-server reads GGUF files, and this is a folder",
            where=str(path),
            hint="Name the GGUF file itself, or use the engine vllm",
        )
    if not (path / "config.json").is_file():
        raise ModelError(
            "incomplete: config.json is missing", where=str(path), hint="Save the model again"
        )
    if not any(path.glob("*.safetensors")):
        raise UnsupportedModelError(
            "the folder holds no safetensors weights, and vLLM is given no others",
            where=str(path),
            hint="Convert the model to safetensors: other formats can hold programs",
        )
    return ModelShape.from_config(path)


def largest_lora_rank(adapters: dict[str, str]) -> int | None:
    """The largest rank among LoRA adapters; None where none tells its own.

    Raises:
        UsageError: An adapter's folder is not there.
    """
    largest: int | None = None
    for name, folder in adapters.items():
        config = Path(folder) / "adapter_config.json"
        if not Path(folder).is_absolute() or not config.is_file():
            raise UsageError(
                "holds no adapter_config.json",
                where=f"serving.lora_adapters.{name}: {folder}",
                hint="Give the absolute path of the adapter's folder",
            )
        with suppress(OSError, ValueError, AttributeError):
            if config.stat().st_size <= _LARGEST_ADAPTER_CONFIG:
                rank = json.loads(config.read_bytes()).get("r")
                if isinstance(rank, int):
                    largest = max(rank, largest or 0)
    return largest
