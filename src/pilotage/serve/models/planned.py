"""Which model is on which worker, opened how: decided before any process is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, cast

from pilotage.catalog.engines import computes_on
from pilotage.devices import DeviceKind, DeviceSlice, discover, plan_slices
from pilotage.engines.config import EngineConfig, EngineName
from pilotage.engines.memory import RUNTIME_BYTES, MemoryPlan, plan_memory
from pilotage.engines.registry import ModelFiles, inspect_model
from pilotage.engines.transformers_memory import plan_transformers
from pilotage.errors import ResourceError, UsageError
from pilotage.serve.control import AliasTarget
from pilotage.serve.models.aliases import AliasTable
from pilotage.serve.routing.served import means_default_model, served_specs
from pilotage.spec import Deployment, ModelSpec, ServingSpec
from pilotage.spec.placement import ServedModelSpec
from pilotage.units import format_size

EXTERNAL_ENGINES: Final = frozenset({"vllm", "llamacpp"})
"""Engines that are servers of their own, outside the workers."""


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """A model that will be served.

    Attributes:
        spec: What was asked for.
        files: The model's files and shape.
        load: When it is loaded.
        workers: Numbers of the workers that have it, or can get it.
        copies: Copies in each of them.
        memory: The memory plan of one copy, for engines that have one.
        memory_bytes: What a copy takes.
        max_model_len: Longest prompt plus completion, tokens.
        max_num_seqs: Sequences at once; chosen by the engine if not given.
    """

    spec: ModelSpec
    files: ModelFiles
    load: Literal["preload", "lazy"]
    workers: tuple[int, ...]
    copies: int
    memory: MemoryPlan | None
    memory_bytes: int
    max_model_len: int
    max_num_seqs: int | None = None

    @property
    def name(self) -> str:
        """What clients call it."""
        return self.spec.name

    @property
    def external(self) -> bool:
        """Whether its engine is a server of its own."""
        return self.files.engine in EXTERNAL_ENGINES

    def engine_config(self, serving: ServingSpec, cache: Path) -> EngineConfig:
        """How a worker opens it."""
        return EngineConfig(
            model=self.name,
            engine=cast("EngineName", self.files.engine),
            task=self.files.task,
            path=str(self.files.path),
            memory_bytes=self.memory_bytes,
            plan=self.memory,
            dtype=self.spec.dtype,
            quantization=self.spec.quantization,
            max_model_len=self.max_model_len,
            max_num_seqs=self.max_num_seqs or serving.max_num_seqs,
            max_num_batched_tokens=serving.max_num_batched_tokens,
            prefix_caching=serving.prefix_caching,
            cache=str(cache),
        )


def check_names(deployment: Deployment) -> None:
    """See to it that models and aliases can be told apart.

    Raises:
        UsageError: Two models have one name, or an alias cannot be.
    """
    names: list[str] = []
    for spec in served_specs(deployment):
        if spec.name in names:
            raise UsageError(
                f"two models are called {spec.name!r}",
                where=f"serving.models[{len(names) - means_default_model(deployment)}]",
                hint="Give one of them another served_name",
            )
        names.append(spec.name)
    AliasTable(spec_aliases(deployment.serving), lambda: names)


def spec_aliases(serving: ServingSpec) -> dict[str, tuple[AliasTarget, ...]]:
    """The spec's aliases."""
    return {
        name: tuple(AliasTarget(target.model, target.weight) for target in targets)
        for name, targets in serving.aliases.items()
    }


def inspect_models(
    deployment: Deployment, paths: Sequence[Path]
) -> list[tuple[ModelSpec, ModelFiles]]:
    """Every model with its files, in the order of the spec.

    Raises:
        UsageError: An engine cannot do what is asked.
        ModelError: No engine here can open a model.
    """
    specs = served_specs(deployment)
    found = []
    for spec, path in zip(specs, paths, strict=True):
        files = inspect_model(path, spec.engine, spec.task)
        if files.engine == "openvino" and files.task == "generate" and spec.dtype != "auto":
            raise UsageError(
                f"the openvino engine serves a model in the number format of its files, "
                f"not as {spec.dtype}",
                where="--dtype",
                hint="Leave dtype at auto, or take files of that format",
            )
        found.append((spec, files))
    return found


def plan_workers(serving: ServingSpec, engines: Sequence[str]) -> tuple[DeviceSlice, ...]:
    """The workers' slices; none when no engine runs inside a worker.

    Raises:
        UsageError: The machine has not got what is asked for.
    """
    inside = [engine for engine in engines if engine not in EXTERNAL_ENGINES]
    if not inside:
        return ()
    usable: set[DeviceKind] = set(computes_on(inside[0]))
    for engine in inside[1:]:
        usable &= set(computes_on(engine))
    if not usable:
        raise UsageError(
            f"the engines {', '.join(sorted(set(inside)))} have no device in common",
            where="serving.models",
            hint="Serve them by two servers",
        )
    return plan_slices(
        discover(),
        kind=serving.device,
        workers=serving.workers if "workers" in serving.model_fields_set else None,
        devices_per_worker=serving.devices_per_worker,
        worker_map=serving.worker_map,
        usable=usable,
    )


def place(
    serving: ServingSpec, models: Sequence[tuple[ModelSpec, ModelFiles]], workers: int
) -> list[tuple[int, ...]]:
    """The workers of each model.

    Raises:
        UsageError: The map names a model that does not exist, or leaves one without a worker.
    """
    inside = [spec.name for spec, files in models if files.engine not in EXTERNAL_ENGINES]
    for number, entry in enumerate(serving.worker_map):
        for name in entry.models:
            if name not in inside:
                known = name in [spec.name for spec, _ in models]
                raise UsageError(
                    f"the engine of {name!r} is a server of its own, which no worker holds"
                    if known
                    else f"there is no model {name!r}",
                    where=f"serving.worker_map[{number}].models",
                    hint=f"Models of workers: {', '.join(inside)}",
                )
    placed = []
    for name in (spec.name for spec, _ in models):
        where = tuple(
            worker
            for worker in range(workers)
            if not serving.worker_map
            or not serving.worker_map[worker].models
            or name in serving.worker_map[worker].models
        )
        if name in inside and not where:
            raise UsageError(
                f"no worker holds {name!r}",
                where="serving.worker_map",
                hint="Name it in the models of one, or leave one without a list",
            )
        placed.append(where if name in inside else ())
    return placed


def plan_models(
    deployment: Deployment,
    models: Sequence[tuple[ModelSpec, ModelFiles]],
    placed: Sequence[tuple[int, ...]],
    *,
    free_bytes: int,
    budgets: Sequence[int],
    kind: DeviceKind = "cpu",
) -> tuple[PlannedModel, ...]:
    """Memory for every model.

    Preloaded models share the memory: each text model's KV caches get an equal part of what is
    left after everybody's weights. A lazy model is planned as if it were alone, since the others
    can leave.

    Raises:
        ResourceError: They do not fit.
    """
    serving = deployment.serving
    copies = serving.models_per_worker
    texts = sum(_has_plan(files) for _, files in models)
    fixed = [
        len(where) * copies * (files.memory_bytes or files.shape.weight_bytes + RUNTIME_BYTES)
        if _load(spec) == "preload"
        else 0
        for (spec, files), where in zip(models, placed, strict=True)
    ]
    if len(models) > 1 and sum(fixed) > free_bytes:
        raise ResourceError(
            f"the models that are loaded at the start need {format_size(sum(fixed), digits=3)} "
            f"for weights and runtime, and {format_size(free_bytes, digits=3)} may be taken",
            where="serving.models",
            hint="Load some lazily, on fewer workers (serving.worker_map), or free memory",
        )
    planned = []
    for index, ((spec, files), where) in enumerate(zip(models, placed, strict=True)):
        shape, memory = files.shape, None
        taken = files.memory_bytes or shape.weight_bytes + RUNTIME_BYTES
        length = min(spec.max_model_len or shape.context_length, shape.context_length)
        if files.task != "generate":
            # An encoder's files advise a length; its engine refuses what it has no positions for.
            length = spec.max_model_len or shape.context_length
        if _has_plan(files):
            others = sum(fixed) - fixed[index] if _load(spec) == "preload" else 0
            memory = plan_memory(
                shape,
                workers=len(where) * copies,
                free_bytes=free_bytes - others,
                memory_fraction=serving.memory_fraction / texts,
                max_model_len=spec.max_model_len,
                max_num_seqs=serving.max_num_seqs,
                kv_cache_bytes=serving.kv_cache and serving.kv_cache // (texts * copies),
                typical_tokens=_typical_tokens(deployment),
            )
            taken, length = taken + memory.kv_bytes, memory.max_model_len
        one = PlannedModel(spec, files, _load(spec), where, copies, memory, taken, length)
        if files.engine == "transformers":
            beside = sum(
                fixed[other] // max(1, len(placed[other]))
                for other in range(len(models))
                if other != index and set(placed[other]) & set(where)
            )
            one = _with_batch(one, serving, kind, min(budgets[worker] for worker in where), beside)
        planned.append(one)
    _check_budgets(planned, budgets)
    return tuple(planned)


def _with_batch(
    model: PlannedModel, serving: ServingSpec, kind: DeviceKind, budget: int, beside: int
) -> PlannedModel:
    """A model of the transformers engine, with the batch that its worker's memory allows.

    On a CPU the operating system and the clients' pictures live in the same memory, so that only
    `memory_fraction` of it is planned with.
    """
    room = budget * serving.memory_fraction if kind == "cpu" else budget
    plan = plan_transformers(
        model.files.path,
        kind=kind,
        available=(round(room) - (beside if model.load == "preload" else 0)) // model.copies,
        dtype=model.spec.dtype,
        max_model_len=model.spec.max_model_len,
        max_num_seqs=serving.max_num_seqs,
        max_num_batched_tokens=serving.max_num_batched_tokens,
    )
    return replace(
        model,
        memory_bytes=plan.total,
        max_model_len=plan.max_model_len,
        max_num_seqs=plan.max_num_seqs,
    )


def _check_budgets(models: Sequence[PlannedModel], budgets: Sequence[int]) -> None:
    for worker, budget in enumerate(budgets):
        here = [model for model in models if worker in model.workers]
        at_start = [model for model in here if model.load == "preload"]
        groups = [at_start, *([model] for model in here if model.load == "lazy")]
        for group in groups:
            needed = sum(model.memory_bytes * model.copies for model in group)
            if needed > budget:
                names = ", ".join(model.name for model in group)
                raise ResourceError(
                    f"{names} need{'s' if len(group) == 1 else ''} "
                    f"{format_size(needed, digits=3)}, and models may take "
                    f"{format_size(budget, digits=3)}",
                    where=f"worker {worker}",
                    hint="Raise serving.memory_budget, lower --max-model-len or --kv-cache, or "
                    "load some lazily",
                )


def _has_plan(files: ModelFiles) -> bool:
    return files.engine == "openvino" and files.task == "generate"


def _load(spec: ModelSpec) -> Literal["preload", "lazy"]:
    return spec.load if isinstance(spec, ServedModelSpec) else "preload"


def _typical_tokens(deployment: Deployment) -> int | None:
    workload = deployment.workload
    if workload is None or workload.prompt_tokens is None or workload.completion_tokens is None:
        return None
    return workload.prompt_tokens.p99 + workload.completion_tokens.p99
