"""From a model folder to an engine that is ready."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from pilotage.devices import DeviceSlice
from pilotage.engines.config import EngineConfig
from pilotage.engines.engine import EngineInfo
from pilotage.engines.memory import free_memory
from pilotage.engines.transformers.engine import TransformersEngine
from pilotage.engines.transformers.runner import Runner
from pilotage.engines.transformers.vision import Eyes, MllamaEyes
from pilotage.engines.transformers.vision_processor import ProcessorEyes
from pilotage.engines.transformers.warm_up import measure_prefill, prove_batching, try_image
from pilotage.engines.transformers_files import inspect_transformers
from pilotage.engines.transformers_memory import MemorySum, plan_transformers
from pilotage.errors import ModelError, ResourceError, UnsupportedModelError, UsageError
from pilotage.images import VisionInput
from pilotage.images.image_token import image_token_id

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_NATIVE_BF16: Final = (8, 0)
_LOADING_ERRORS: Final = (
    OSError, ValueError, ImportError, RuntimeError, LookupError, TypeError, AttributeError,
    AssertionError, ArithmeticError, StrictDataclassError, SafetensorError,
)  # fmt: skip
"""What a damaged or strange folder makes `from_pretrained` raise."""

_OWN_QUANTIZATION: Final = ("auto", "none", "bitsandbytes")


def open_transformers(config: EngineConfig, device: DeviceSlice) -> TransformersEngine:
    """Load a model, prove that batching does not change it, and measure its prefill rate.

    Raises:
        ModelError: Its files cannot be used.
        UnsupportedModelError: This engine cannot run it.
        ResourceError: It does not fit; nothing has been loaded.
        UsageError: What is asked does not exist on this device.
    """
    began = time.monotonic()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    folder = Path(config.path)
    target = torch_device(device)
    dtype = _asked_dtype(config, device)
    _, vision = inspect_transformers(folder)
    plan = plan_transformers(
        folder,
        kind=device.kind,
        available=_available(device, target),
        dtype=dtype,
        max_model_len=config.max_model_len,
        max_num_seqs=config.max_num_seqs,
        max_num_batched_tokens=config.max_num_batched_tokens,
    )
    if target.type == "cpu":
        torch.set_num_threads(max(1, device.threads))
    model = _load(folder, plan, target, has_eyes=vision is not None)
    eyes = None if vision is None else _open_eyes(folder, vision, model)
    return build_engine(model, plan, eyes=eyes, began=began, where=str(folder))


def build_engine(
    model: Any,
    plan: MemorySum,
    *,
    eyes: Eyes | None = None,
    began: float | None = None,
    where: str = "",
) -> TransformersEngine:
    """An engine over a model that is in memory already.

    Args:
        model: In eval mode, on its device.
        plan: Its limits.
        eyes: How images become its inputs.
        began: `time.monotonic` when loading began.
        where: The model's folder, for errors.
    """
    began = time.monotonic() if began is None else began
    runner = Runner(model, max_rows=plan.max_num_seqs, max_positions=plan.max_model_len)
    with torch.inference_mode():
        prove_batching(runner, plan, where)
        rate = measure_prefill(runner, plan)
    tokens = plan.max_model_len * plan.max_num_seqs

    def info(load_s: float) -> EngineInfo:
        return EngineInfo(
            engine=f"transformers {transformers.__version__} (torch {torch.__version__})",
            max_model_len=plan.max_model_len,
            max_num_seqs=plan.max_num_seqs,
            max_num_batched_tokens=plan.max_num_batched_tokens,
            kv_cache_tokens=tokens,
            kv_cache_bytes=plan.kv + plan.images,
            prefill_tokens_per_s=rate,
            load_s=load_s,
            unsupported=("json_schema",),
        )

    engine = TransformersEngine(runner, info(0.0), eyes)
    if eyes is not None:
        try_image(engine, eyes.image_token, where)
    engine.info = info(time.monotonic() - began)
    return engine


def torch_device(device: DeviceSlice) -> torch.device:
    """Where tensors go: the first CUDA device that the process sees, or the CPU.

    Raises:
        UsageError: There is no such device here.
    """
    if device.kind == "cpu":
        return torch.device("cpu")
    if device.kind != "cuda":
        raise UsageError(
            f"the transformers engine does not run on {device.kind} devices",
            where="model.engine",
            hint="For NeuronCores use engine: neuron, after pilotage compile --target neuron",
        )
    if not torch.cuda.is_available():
        raise UsageError(
            "this PyTorch sees no CUDA device",
            where=device.name,
            hint="Install a CUDA build of torch, and see that nvidia-smi lists the device",
        )
    return torch.device("cuda:0")


def _asked_dtype(config: EngineConfig, device: DeviceSlice) -> str:
    """The spec's dtype, made one that this device has."""
    if config.quantization not in (None, *_OWN_QUANTIZATION):
        stored = json.loads((Path(config.path) / "config.json").read_bytes())
        if not stored.get("quantization_config"):
            raise UsageError(
                f"the transformers engine does not make {config.quantization} of a model itself",
                where="model.quantization",
                hint="Take a model that is stored so, or quantization: bitsandbytes on CUDA",
            )
    dtype = config.dtype
    if config.quantization == "bitsandbytes" and dtype not in ("int8", "int4"):
        dtype = "int4"
    if dtype == "fp8":
        raise UsageError(
            "the transformers engine has no fp8", where="model.dtype", hint="Use engine: vllm"
        )
    if dtype in ("int8", "int4") and device.kind != "cuda":
        raise UsageError(
            f"{dtype} in the transformers engine is bitsandbytes, which runs on CUDA devices only",
            where="model.dtype",
            hint="On a CPU use a GGUF file with engine: openvino or llamacpp",
        )
    if dtype == "auto" and device.kind == "cuda":
        native = torch.cuda.get_device_capability(0) >= _NATIVE_BF16
        return "bf16" if native else "fp16"
    return dtype


def _available(device: DeviceSlice, target: torch.device) -> int:
    if target.type == "cuda":
        free = int(torch.cuda.mem_get_info(target)[0])
        return min(free, device.memory_bytes or free)
    return device.memory_bytes or free_memory()


def _load(folder: Path, plan: MemorySum, target: torch.device, *, has_eyes: bool) -> Any:
    """The model on its device, every weight from its files."""
    kind = AutoModelForImageTextToText if has_eyes else AutoModelForCausalLM
    options: dict[str, Any] = {"dtype": _DTYPES[plan.dtype]}
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        text = config.get_text_config(decoder=True)
        if getattr(text, "attn_logit_softcapping", None):
            options["attn_implementation"] = "eager"  # SDPA cannot cap logits
        if plan.quantization is not None:
            options["quantization_config"] = _bitsandbytes(plan)
        if target.type == "cuda":
            options["device_map"] = {"": str(target)}
        model, found = kind.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ResourceError(
            "memory ran out while the model was loaded",
            where=str(folder),
            hint="Lower --max-model-len or --max-num-seqs",
        ) from error
    except _LOADING_ERRORS as error:
        raise _explained(error, folder) from error
    missing = sorted(found["missing_keys"]) + sorted(str(k) for k in found["mismatched_keys"])
    if missing:
        raise ModelError(
            f"incomplete: {len(missing)} weights are not in its files, such as {missing[0]}",
            where=str(folder),
            hint="Fetch the model again, whole",
        )
    return model.eval()


def _bitsandbytes(plan: MemorySum) -> Any:
    if plan.quantization == "int8":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=_DTYPES[plan.dtype],
    )


def _explained(error: Exception, folder: Path) -> ModelError | UsageError:
    whole = " ".join(str(error).split())
    reason = whole[:200]
    if "bitsandbytes" in whole:
        return UsageError(
            "int8 and int4 need bitsandbytes", where="model.dtype", hint="pip install bitsandbytes"
        )
    if "does not recognize this architecture" in whole or "custom code" in whole:
        return UnsupportedModelError(
            f"transformers {transformers.__version__} does not know this architecture, "
            "and code from model folders is never run",
            where=str(folder),
            hint="pip install -U transformers",
        )
    return ModelError(
        f"the transformers engine could not load it ({reason or type(error).__name__})",
        where=str(folder),
        hint="The files may be damaged: fetch them again",
    )


def _open_eyes(folder: Path, vision: VisionInput, model: Any) -> Eyes:
    token = image_token_id(json.loads((folder / "config.json").read_bytes()))
    if token is None:
        token = image_token_id(vars(model.config))
    if token is None:
        raise ModelError("config.json names no image token", where=str(folder))
    if vision.family == "mllama":
        return MllamaEyes(vision, token, model.config.vision_config.max_num_tiles)
    return ProcessorEyes.open(folder, vision.family, token)
