"""vLLM's command line, from the spec."""

from __future__ import annotations

import math
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

_GIB: Final = 1 << 30
_DTYPES: Final = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_LORA_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM's kernels are made for."""


def vllm_command(
    program: str,
    settings: ExternalSettings,
    known: KnownFlags,
    address: Address,
    api_key: str,
    *,
    outer: Mapping[str, str],
    device: Mapping[str, str],
) -> Command:
    """What starts vLLM's OpenAI server for a model.

    ``--trust-remote-code`` is never among it. The API key goes through the environment: argument
    lists can be read by every user of the machine.

    Args:
        program: A Python that has vLLM.
        settings: The model and how it shall run.
        known: What this version of vLLM can do.
        address: Where it shall listen.
        api_key: What its clients, that is the gateway, must show.
        outer: This process's environment.
        device: Variables of the device slice.

    Raises:
        UsageError: Something is asked for that vLLM, or this version of it, does not have.
    """
    arguments = Arguments("vLLM", known, settings.given)
    arguments.argv += ["--model", check_absolute(settings.path)]
    arguments.argv += ["--served-model-name", settings.model]
    if address.socket is not None:
        arguments.argv += ["--uds", address.socket]
    else:
        arguments.argv += ["--host", "127.0.0.1", "--port", str(address.port)]
    _add_numbers(arguments, settings)
    _add_placement(arguments, settings)
    _add_memory(arguments, settings)
    _add_adapters(arguments, settings)
    if settings.task == "embed" and not arguments.add("", ("--runner",), "pooling"):
        arguments.add("", ("--task",), "embed")
    arguments.add("", ("--disable-uvicorn-access-log",))
    own = {"VLLM_API_KEY": api_key, "VLLM_NO_USAGE_STATS": "1"}
    if settings.device == "cpu":
        own |= _cpu_environment(settings)
    return Command(
        (program, *known.entry, *arguments.argv), clean_environment(outer, device, own), address
    )


def _add_numbers(arguments: Arguments, settings: ExternalSettings) -> None:
    """Number formats of weights and cache."""
    quantization = settings.quantization
    if settings.dtype in ("int8", "int4"):
        raise UsageError(
            f"vLLM does not quantise a model to {settings.dtype} while it loads it",
            where="model.dtype",
            hint="Take files that are quantised (awq, gptq), or dtype fp8, or quantization "
            "bitsandbytes",
        )
    if settings.dtype == "fp8":
        if quantization not in ("auto", "fp8"):
            raise UsageError(
                f"dtype fp8 and quantization {quantization} contradict each other",
                where="model.quantization",
            )
        quantization = "fp8"
    elif settings.dtype != "auto":
        arguments.add("model.dtype", ("--dtype",), _DTYPES[settings.dtype])
    if quantization not in ("auto", "none"):
        arguments.add("model.quantization", ("--quantization", "-q"), quantization)
    if settings.kv_cache_dtype != "auto":
        arguments.add("serving.kv_cache_dtype", ("--kv-cache-dtype",), settings.kv_cache_dtype)


def _add_placement(arguments: Arguments, settings: ExternalSettings) -> None:
    """How the model is spread over devices."""
    for field, flag, count in (
        ("serving.tensor_parallel", "--tensor-parallel-size", settings.tensor_parallel),
        ("serving.pipeline_parallel", "--pipeline-parallel-size", settings.pipeline_parallel),
    ):
        if count > 1:
            arguments.add(field, (flag,), str(count))


def _add_memory(arguments: Arguments, settings: ExternalSettings) -> None:
    """What is kept in memory, and how much runs at once."""
    given = settings.given
    if settings.device != "cpu" or "serving.gpu_memory_utilization" in given:
        arguments.add(
            "serving.gpu_memory_utilization",
            ("--gpu-memory-utilization",),
            f"{settings.gpu_memory_utilization:g}",
        )
    for field, flag, value in (
        ("model.max_model_len", "--max-model-len", settings.max_model_len),
        ("serving.max_num_seqs", "--max-num-seqs", settings.max_num_seqs),
        (
            "serving.max_num_batched_tokens",
            "--max-num-batched-tokens",
            settings.max_num_batched_tokens,
        ),
    ):
        if value is not None:
            arguments.add(field, (flag,), str(value))
    if settings.prefix_caching:
        arguments.add("serving.prefix_caching", ("--enable-prefix-caching",))
    else:
        arguments.add("serving.prefix_caching", ("--no-enable-prefix-caching",))
    if settings.kv_cache_bytes is not None and settings.device != "cpu":
        arguments.add(
            "serving.kv_cache", ("--kv-cache-memory-bytes",), str(settings.kv_cache_bytes)
        )
    if settings.swap_space is not None:
        _add_swap(arguments, settings.swap_space, settings.tensor_parallel)


def _add_swap(arguments: Arguments, swap_space: int, tensor_parallel: int) -> None:
    """Host memory for KV blocks.

    ``--swap-space`` (GiB a device) went with vLLM's old scheduler; what came after it,
    ``--kv-offloading-size``, counts all tensor-parallel devices together.
    """
    if "--swap-space" in arguments.known.flags:
        arguments.add("serving.swap_space", ("--swap-space",), f"{swap_space / _GIB:g}")
    elif swap_space:
        arguments.add(
            "serving.swap_space",
            ("--kv-offloading-size",),
            f"{swap_space * tensor_parallel / _GIB:g}",
        )


def _add_adapters(arguments: Arguments, settings: ExternalSettings) -> None:
    if not settings.lora_adapters:
        return
    where = "serving.lora_adapters"
    arguments.add(where, ("--enable-lora",))
    modules = [f"{name}={check_absolute(p)}" for name, p in settings.lora_adapters.items()]
    rank = settings.max_lora_rank
    if rank is not None:
        fitting = next((one for one in _LORA_RANKS if one >= rank), None)
        if fitting is None:
            raise UsageError(
                f"an adapter has rank {rank}; vLLM runs ranks up to {_LORA_RANKS[-1]}", where=where
            )
        arguments.add("", ("--max-lora-rank",), str(fitting))
    arguments.add(where, ("--lora-modules",), *modules)


def _cpu_environment(settings: ExternalSettings) -> dict[str, str]:
    """VLLM's CPU build takes these from the environment only.

    Left alone it would take a core for its scheduler and bind its threads itself; the worker is
    bound to its slice already, so all cores of that slice compute.
    """
    own = {
        "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
        "VLLM_CPU_OMP_THREADS_BIND": "auto",
        "OMP_NUM_THREADS": str(settings.threads),
    }
    if settings.kv_cache_bytes is not None:
        own["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, math.ceil(settings.kv_cache_bytes / _GIB)))
    return own
