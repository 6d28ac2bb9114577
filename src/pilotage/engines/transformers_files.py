"""Whether a folder is one for the transformers engine (nothing heavy is imported)."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from pilotage.catalog import ModelShape
from pilotage.engines.safetensors_header import StoredTensors
from pilotage.errors import ModelError, UnsupportedModelError, UsageError
from pilotage.images import VisionInput

EYES: Final = frozenset({"mllama", "llava", "idefics3", "smolvlm"})
"""Families whose images this engine can hand to the model."""

INSTALL: Final = "pip install 'pilotage[transformers]'"

_GENERATORS: Final = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
_ENCODER_DECODERS: Final = frozenset({"t5", "mt5", "bart", "mbart", "pegasus", "whisper", "marian"})
_OTHER_STATE: Final = frozenset({"mamba", "mamba2", "rwkv", "bloom", "mpt", "falcon_mamba"})
"""Families without a plain KV cache, or whose positions are in the attention mask (ALiBi)."""


def transformers_installed() -> bool:
    """Whether the extra is there, found without importing it."""
    return all(find_spec(name) is not None for name in ("torch", "transformers", "safetensors"))


def runs_in_transformers(path: Path) -> bool:
    """Whether ``engine: auto`` shall take this engine: its kind of folder, and it is installed."""
    return (
        path.is_dir()
        and not (path / "openvino_model.xml").is_file()
        and transformers_installed()
        and is_generator(path)
    )


def require_transformers() -> None:
    """Raise `UsageError` when the extra is not installed."""
    if not transformers_installed():
        raise UsageError(
            "the engine transformers is not installed", where="model.engine", hint=INSTALL
        )


def is_generator(folder: Path) -> bool:
    """Whether a folder holds safetensors weights of a model that writes text."""
    config = _config(folder)
    architectures = config.get("architectures")
    return (
        any(folder.glob("*.safetensors"))
        and isinstance(architectures, list)
        and any(str(name).endswith(_GENERATORS) for name in architectures)
    )


def inspect_transformers(folder: Path) -> tuple[ModelShape, VisionInput | None]:
    """Look at a folder for the transformers engine, before anything is loaded.

    Raises:
        ModelError: Files are missing or damaged.
        UnsupportedModelError: The engine cannot run this family.
    """
    if not folder.is_dir():
        raise UnsupportedModelError(
            "the transformers engine reads folders of safetensors, not files",
            where=str(folder),
            hint="A GGUF file is for engine: openvino or llamacpp",
        )
    config = _config(folder)
    if not config:
        raise ModelError("there is no config.json, so this is no model folder", where=str(folder))
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(
            "incomplete: tokenizer.json is missing",
            where=str(folder),
            hint="Save the model again with its fast tokenizer",
        )
    family = str(config.get("model_type"))
    if not is_generator(folder) or family in _ENCODER_DECODERS:
        architectures = config.get("architectures")
        named = architectures[0] if isinstance(architectures, list) and architectures else family
        raise UnsupportedModelError(
            f"the transformers engine runs models that continue text, and {named} is none",
            where=str(folder),
            hint="For an encoder say engine: onnxruntime",
        )
    if family in _OTHER_STATE or _odd_layers(config):
        raise UnsupportedModelError(
            f"the transformers engine cannot batch the family {family}: "
            "its layers keep something else than keys and values",
            where=str(folder),
            hint="The engine vllm may",
        )
    vision = VisionInput.read(folder)
    if vision is not None and family not in EYES:
        raise UnsupportedModelError(
            f"the transformers engine does not know how the family {family} takes its images",
            where=str(folder),
            hint=f"It knows {', '.join(sorted(EYES))}; the engine vllm may know more",
        )
    StoredTensors.read(folder)
    return ModelShape.from_config(folder), vision


def _odd_layers(config: dict[str, Any]) -> bool:
    text = config.get("text_config")
    kinds = (text if isinstance(text, dict) else config).get("layer_types")
    known = {"full_attention", "sliding_attention"}
    return isinstance(kinds, list) and not {str(kind) for kind in kinds} <= known


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise ModelError("damaged: not JSON", where=str(path)) from error
    if not isinstance(data, dict):
        raise ModelError("damaged: not a JSON object", where=str(path))
    return data
