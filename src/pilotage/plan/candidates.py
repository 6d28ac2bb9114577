"""What could be deployed: how one copy of the model may lie on accelerators."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final

from pilotage.catalog.accelerators import Accelerator, find_accelerator
from pilotage.catalog.anatomy import Anatomy
from pilotage.catalog.engines import ENGINES
from pilotage.catalog.instances import Instance, load_instances
from pilotage.plan.engine_choice import engine_on, kind_of
from pilotage.plan.memory import MemoryPlan, memory_of, vllm_defaults
from pilotage.plan.precision import (
    PRECISIONS,
    Precision,
    canonical_name,
    find_precision,
    native_precision,
    unusable,
)
from pilotage.plan.question import Question

SEQUENCES: Final = (16, 64, 256)
"""Sequences at once that are tried: more need memory for their logits, fewer leave it to the KV
cache. Beyond 256 the largest machines take vLLM's own default."""

BATCHED_TOKENS: Final = (2048, 8192)
"""Tokens a step that are tried: few keep the gaps between tokens short, many prompts short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one copy of the model lies on accelerators.

    Attributes:
        accelerator: Of which kind.
        precision: How weights and cache are held.
        tensor_parallel: Accelerators that share every layer.
        pipeline_parallel: Groups of them that share the layers.
        memory: Of one of them, with the sequences and tokens a step it was planned for.
    """

    accelerator: Accelerator
    precision: Precision
    tensor_parallel: int
    pipeline_parallel: int
    memory: MemoryPlan

    @property
    def accelerators(self) -> int:
        """Accelerators that one copy takes."""
        return self.tensor_parallel * self.pipeline_parallel

    @property
    def key(self) -> tuple[str, str, int, int, int, int]:
        """What tells layouts of one question apart."""
        return (
            self.accelerator.name,
            self.precision.name,
            self.tensor_parallel,
            self.pipeline_parallel,
            self.memory.max_num_seqs,
            self.memory.max_num_batched_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """An instance type whose accelerators are in the catalogue."""

    instance: Instance
    accelerator: Accelerator
    count: int


@cache
def machines() -> tuple[Machine, ...]:
    """Every instance type that a model can be put on, the smallest first.

    Left out: accelerators without figures (see `pilotage.catalog.accelerators`), and instances
    with a share of a GPU, of which nobody publishes what the share computes.
    """
    found = []
    for instance in load_instances().values():
        has = instance.accelerator
        if has is None:
            continue
        accelerator = find_accelerator(has.name, has.memory_bytes)
        if accelerator is None or has.memory_bytes < 0.8 * accelerator.memory_bytes:
            continue
        found.append(Machine(instance=instance, accelerator=accelerator, count=has.count))
    return tuple(sorted(found, key=lambda one: one.instance.usd_per_hour or float("inf")))


@cache
def accelerators() -> Mapping[str, tuple[Accelerator, int]]:
    """Each accelerator that can be rented, and the most of it in one machine."""
    found: dict[str, tuple[Accelerator, int]] = {}
    for machine in machines():
        name = machine.accelerator.name
        most = max(machine.count, found[name][1] if name in found else 0)
        found[name] = (machine.accelerator, most)
    return MappingProxyType(found)


def precisions(question: Question) -> tuple[Precision, ...]:
    """The number formats that may be taken, what the files hold first.

    A format that the spec names is the only one. Else it is what the files hold; 16-bit floats
    count as one (a T4 without bf16 takes fp16), and of weights that are not quantised yet, those
    that `Assumptions.quality` allows.

    Raises:
        UsageError: The spec names one that does not exist, or that contradicts the files.
    """
    native = native_precision(question.anatomy)
    stored = question.anatomy.stored
    quantised = stored is not None and stored.quantised_parameters > 0
    wanted = question.quantization if question.quantization not in ("auto", "none") else None
    if wanted is None and question.dtype != "auto":
        wanted = question.dtype
    if wanted is not None:
        if quantised and (wanted == "int4" and native.weight_bits < 6):
            return (native,)
        if wanted == "bitsandbytes":
            return (dataclasses.replace(PRECISIONS["awq"], name="bitsandbytes", weight_bits=4.5),)
        if quantised and canonical_name(wanted) in ("bf16", "fp16") and native.compute == "fp16":
            return (native,)  # the format that quantised weights are unpacked to
        return (find_precision(wanted),)
    if quantised or question.quantization == "none":
        return (native,)
    names = ["bf16", "fp16"] if native.name in ("bf16", "fp16", "fp32") else [native.name]
    quality = question.assumptions.quality
    if not (question.engine == "auto" or ENGINES[question.engine].converts):
        quality = "stored"
    if quality in ("fp8", "any"):
        names.append("fp8")
    if quality == "any":
        names += ["int8", "awq"]
    return tuple(PRECISIONS[name] for name in names if name in PRECISIONS) or (native,)


def layouts(question: Question) -> Iterator[Layout]:
    """Every layout that the hardware computes under the engine, whether it fits or not.

    Tensor parallelism in powers of two that divide the heads, up to the largest machine; pipeline
    parallelism only where the heads do not let more accelerators take part. Sequences and tokens a
    step as `SEQUENCES` and `BATCHED_TOKENS` say. bf16 and fp16 weigh and compute alike: fp16 is
    tried only where there is no bf16.
    """
    anatomy, demand = question.anatomy, question.demand
    for accelerator, most in accelerators().values():
        engine = engine_on(question, kind_of(accelerator))
        if engine is None:
            continue
        for precision in computed(question, accelerator):
            for tensor, pipeline in splits(anatomy, most if engine.spreads else 1):
                for seqs, tokens in _sizes(accelerator, anatomy):
                    yield Layout(
                        accelerator=accelerator,
                        precision=precision,
                        tensor_parallel=tensor,
                        pipeline_parallel=pipeline,
                        memory=memory_of(
                            anatomy,
                            precision,
                            accelerator.memory_bytes,
                            tensor_parallel=tensor,
                            pipeline_parallel=pipeline,
                            utilisation=question.assumptions.memory_utilisation,
                            max_model_len=question.max_model_len,
                            max_num_seqs=seqs,
                            max_num_batched_tokens=tokens,
                            images=demand.images,
                        ),
                    )


def computed(question: Question, accelerator: Accelerator) -> tuple[Precision, ...]:
    """Of the formats that may be taken, those that this accelerator computes."""
    usable = [one for one in precisions(question) if unusable(one, accelerator) is None]
    if accelerator.bf16 and question.dtype == "auto":
        return tuple(one for one in usable if one.name != "fp16" or len(usable) == 1)
    return tuple(usable)


def splits(anatomy: Anatomy, most: int) -> Iterator[tuple[int, int]]:
    """(tensor, pipeline) parallelism for up to ``most`` accelerators."""
    layers = sum(group.count for group in anatomy.layers)
    tensor = 1
    while tensor <= most:
        if all(group.attention.heads % tensor == 0 for group in anatomy.layers):
            yield tensor, 1
        elif tensor % 2 == 0 and tensor // 2 <= layers and _divides(anatomy, tensor // 2):
            yield tensor // 2, 2
        tensor *= 2


def _divides(anatomy: Anatomy, ranks: int) -> bool:
    return all(group.attention.heads % ranks == 0 for group in anatomy.layers)


def _sizes(accelerator: Accelerator, anatomy: Anatomy) -> Iterator[tuple[int, int]]:
    if anatomy.encoder:
        yield 64, max(2048, anatomy.context_length)
        return
    largest = vllm_defaults(accelerator.memory_bytes, accelerator.name)[0]
    for seqs in (*SEQUENCES, *([largest] if largest > SEQUENCES[-1] else [])):
        for tokens in BATCHED_TOKENS:
            yield seqs, tokens
