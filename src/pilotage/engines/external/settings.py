"""What the spec asks of an engine with a server of its own."""

from __future__ import annotations

from typing import Literal, TypeGuard

import msgspec

from pilotage.devices import DeviceSlice
from pilotage.engines.engine import Task
from pilotage.engines.memory import MemoryPlan
from pilotage.errors import UsageError
from pilotage.spec.model import ModelSpec
from pilotage.spec.serving import ServingSpec

ExternalEngine = Literal["vllm", "llamacpp"]


def is_external(engine: str) -> TypeGuard[ExternalEngine]:
    """Whether an engine is a server of its own."""
    return engine in ("vllm", "llamacpp")


class ExternalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One model for one engine's own server; crosses process boundaries.

    Attributes:
        engine: Which engine.
        model: The name it is served under.
        path: The model's file or folder.
        task: What it does.
        device: What the engine computes on.
        threads: CPU threads it may use.
        given: Spec fields that the user set. Such a one is refused where the engine has nothing
            for it; one that only has its default is left out.
        kv_cache_bytes: Size of the KV cache; the engine's own choice if not given.
        max_lora_rank: Largest rank among the adapters; None without any.

    The rest are the spec's fields of the same names.
    """

    engine: ExternalEngine
    model: str
    path: str
    task: Task = "generate"
    device: Literal["cpu", "cuda", "neuron"] = "cpu"
    threads: int = 1
    given: tuple[str, ...] = ()
    dtype: str = "auto"
    quantization: str = "auto"
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    prefix_caching: bool = True
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    gpu_memory_utilization: float = 0.9
    kv_cache_dtype: str = "auto"
    kv_cache_bytes: int | None = None
    swap_space: int | None = None
    lora_adapters: dict[str, str] = {}
    max_lora_rank: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All names that its server answers to: the model's, then the adapters'."""
        return (self.model, *self.lora_adapters)


def external_settings(
    model: ModelSpec,
    serving: ServingSpec,
    *,
    engine: ExternalEngine,
    path: str,
    task: Task,
    device: DeviceSlice,
    plan: MemoryPlan | None = None,
    max_lora_rank: int | None = None,
) -> ExternalSettings:
    """The settings of one model on one device slice.

    Args:
        model: The spec's model.
        serving: The spec's serving section.
        engine: Which engine.
        path: The model on disk.
        task: What it does.
        device: Where it runs.
        plan: Limits derived from the memory that is free, for an engine that derives none itself
            (llama-server).
        max_lora_rank: Largest rank among the adapters.

    Raises:
        UsageError: The slice has too few devices for the parallelism that is asked for.
    """
    wanted = serving.tensor_parallel * serving.pipeline_parallel
    if device.kind == "cuda" and wanted > max(1, len(device.devices)):
        raise UsageError(
            f"tensor_parallel {serving.tensor_parallel} times pipeline_parallel "
            f"{serving.pipeline_parallel} needs {wanted} devices, a worker has "
            f"{len(device.devices)}",
            where="serving.tensor_parallel",
            hint=f"Set serving.devices_per_worker to {wanted}",
        )
    given = {f"model.{name}" for name in model.model_fields_set}
    given |= {f"serving.{name}" for name in serving.model_fields_set}
    return ExternalSettings(
        engine=engine,
        model=model.name,
        path=path,
        task=task,
        device=device.kind,
        threads=max(1, len(device.cores)),
        given=tuple(sorted(given)),
        dtype=model.dtype,
        quantization=model.quantization,
        max_model_len=model.max_model_len or (plan.max_model_len if plan else None),
        max_num_seqs=serving.max_num_seqs or (plan.max_num_seqs if plan else None),
        max_num_batched_tokens=serving.max_num_batched_tokens,
        prefix_caching=serving.prefix_caching,
        tensor_parallel=serving.tensor_parallel,
        pipeline_parallel=serving.pipeline_parallel,
        gpu_memory_utilization=serving.gpu_memory_utilization,
        kv_cache_dtype=serving.kv_cache_dtype,
        kv_cache_bytes=serving.kv_cache,
        swap_space=serving.swap_space,
        lora_adapters=dict(serving.lora_adapters),
        max_lora_rank=max_lora_rank,
    )
