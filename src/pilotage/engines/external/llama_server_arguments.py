"""llama-server's command line, from the spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pilotage.engines.external.command import (
    Address,
    Arguments,
    Command,
    check_absolute,
    clean_environment,
)
from pilotage.engines.external.settings import ExternalSettings
from pilotage.engines.external.versions import KnownFlags
from pilotage.errors import UsageError

DEFAULT_SLOTS: Final = 4
_ALL_LAYERS: Final = "999"
_VLLM_ONLY: Final = (
    ("serving.tensor_parallel", "tensor_parallel"),
    ("serving.pipeline_parallel", "pipeline_parallel"),
    ("serving.gpu_memory_utilization", "gpu_memory_utilization"),
    ("serving.swap_space", "swap_space"),
    ("serving.lora_adapters", "adapters chosen by model name"),
    ("serving.kv_cache_dtype", "an fp8 KV cache"),
    ("model.quantization", "quantisation while it loads"),
)


def llama_server_command(
    program: str,
    settings: ExternalSettings,
    known: KnownFlags,
    address: Address,
    api_key: str,
    *,
    outer: Mapping[str, str],
    device: Mapping[str, str],
) -> Command:
    """What starts llama-server for a GGUF file; see `vllm_command` for the arguments.

    Raises:
        UsageError: Something is asked for that llama-server, or this version of it, lacks.
    """
    arguments = Arguments("llama-server", known, settings.given)
    for field, what in _VLLM_ONLY:
        arguments.refuse(
            field, f"llama-server has nothing for {what}", "Leave it out, or use the engine vllm"
        )
    if settings.dtype != "auto":
        raise UsageError(
            f"llama-server runs a GGUF file in the format it is stored in, not as {settings.dtype}",
            where="model.dtype",
            hint="Leave dtype at auto, or take a file of that format",
        )
    arguments.argv += ["--model", check_absolute(settings.path)]
    arguments.add("", ("--alias", "-a"), settings.model)
    if address.socket is not None:
        arguments.argv += ["--host", address.socket]
    else:
        arguments.argv += ["--host", "127.0.0.1", "--port", str(address.port)]
    _add_limits(arguments, settings)
    layers = "0" if settings.device == "cpu" else _ALL_LAYERS
    arguments.add("", ("--n-gpu-layers", "--gpu-layers", "-ngl"), layers)
    if settings.device == "cpu":
        arguments.add("", ("--device",), "none")
    arguments.add("", ("--threads", "-t"), str(settings.threads))
    if settings.task == "embed":
        arguments.add("", ("--embeddings", "--embedding"))
    if not settings.prefix_caching:
        arguments.add("serving.prefix_caching", ("--no-cache-prompt",))
    for spellings in (
        ("--metrics",),
        ("--jinja",),
        ("--no-ui", "--no-webui"),
        ("--no-slots",),  # it would show other clients' prompts
        ("--offline",),
    ):
        arguments.add("", spellings)
    own = {"LLAMA_API_KEY": api_key}
    return Command((program, *arguments.argv), clean_environment(outer, device, own), address)


def _add_limits(arguments: Arguments, settings: ExternalSettings) -> None:
    """Slots and context: llama-server's context is shared out among its slots in equal parts."""
    slots = settings.max_num_seqs or DEFAULT_SLOTS
    arguments.add("serving.max_num_seqs", ("--parallel", "-np"), str(slots))
    if settings.max_model_len is not None:
        length = settings.max_model_len * slots
        arguments.add("model.max_model_len", ("--ctx-size", "-c"), str(length))
    arguments.add("", ("--no-kv-unified",))
    if settings.max_num_batched_tokens is not None:
        tokens = str(settings.max_num_batched_tokens)
        arguments.add("serving.max_num_batched_tokens", ("--batch-size", "-b"), tokens)
