"""A measurement made ready for prediction: what the hardware must do for it, at its peaks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pilotage.catalog.accelerators import Accelerator, find_accelerator
from pilotage.catalog.anatomies import known_anatomy
from pilotage.catalog.anatomy import Anatomy
from pilotage.errors import UsageError
from pilotage.plan.calibration.measurement import Measurement
from pilotage.plan.memory import (
    bytes_of_rank,
    memory_of,
    sequence_bytes,
    vllm_defaults,
    weights_of,
)
from pilotage.plan.precision import Precision, find_precision
from pilotage.plan.roofline import Efficiency, Parts, RooflineModel
from pilotage.plan.step_model import Batch

_DECODE_CONTEXT: Final = 512
"""Cached tokens a sequence where a row does not say: the rows call it the "short regime"."""

_QUANTISED: Final = re.compile(
    r"-(?:(?:nv|mx)?fp[48]|awq|gptq|w[48]a(?:8|16)|int[48]|bf16|fp16|quantized|dynamic|4bit|8bit)\b"
    r"(?:-dynamic|-int[48])?",
    re.IGNORECASE,
)
_SAMPLES: Final = 8
"""Points at which a growing context is looked at; a sliding window makes the growth bend."""

_TENSORRT_SEQS: Final = 2048
_TENSORRT_KV_SHARE: Final = 0.9
_TENSORRT_RUNTIME: Final = 2.5e9
"""TensorRT-LLM's defaults: sequences at once, and the share of the memory left after loading that
becomes cache. Loaded engine, buffers and NCCL are some 2.5 GB (prior: no measurement)."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A measurement of speed.

    The time it takes is linear in `parts` (see `pilotage.plan.roofline.Parts`); its value is that
    time, or `amount` over it.

    Attributes:
        measurement: The row.
        accelerator: Found in the catalogue.
        precision: Likewise.
        parts: All its steps added up.
        amount: Tokens or requests produced in that time; 0 when the time itself was measured.
    """

    measurement: Measurement
    accelerator: Accelerator
    precision: Precision
    parts: Parts
    amount: float

    def value(self, efficiency: Efficiency) -> float:
        """The prediction, in the measurement's unit."""
        seconds = self.parts.seconds(efficiency)
        return self.amount / seconds if self.amount else seconds


class Unusable(Exception):
    """A row cannot be predicted; the text says why. Not a failure: it is skipped and counted."""


def prepare(row: Measurement) -> Prepared:
    """What the hardware must do for a row of speed.

    Raises:
        Unusable: Its model, accelerator or precision is unknown, or a number is missing.
    """
    anatomy, device, precision = _looked_up(row)
    stages = max(1, row.accelerators // row.tensor_parallel)
    model = RooflineModel(
        anatomy,
        precision,
        device,
        tensor_parallel=row.tensor_parallel,
        pipeline_parallel=stages,
    )
    prompt, completion = row.input_tokens or 0, row.output_tokens or 0
    if row.kind == "first_token_latency":
        if not prompt:
            raise Unusable("no input_tokens")
        parts, produced = model.parts_of(_prompts(row.batch or 1, prompt)), 0.0
    elif row.kind == "decode_step":
        context = prompt + completion / 2 or float(_DECODE_CONTEXT)
        parts, produced = model.parts_of(_decode(row.batch or 1, context)), 0.0
        if "second" in row.metric:
            produced = float(row.batch or 1)
    elif not prompt or not completion:
        raise Unusable("no input_tokens or no output_tokens")
    elif row.kind == "static_batch_throughput":
        if row.batch is None:
            raise Unusable("no batch")
        parts, produced = _static(model, row.batch, prompt, completion)
    else:
        parts, produced = _saturated(model, row, prompt, completion)
    if produced and "request" in row.metric:
        produced /= max(1, completion)
    if produced and "per_gpu" in row.metric:
        produced /= row.accelerators
    return Prepared(row, device, precision, parts, produced)


def predict_memory(row: Measurement) -> float:
    """Bytes that a row of memory should say, by its metric.

    Raises:
        Unusable: As in `prepare`, or the metric is unknown.
    """
    anatomy, device, precision = _looked_up(row)
    stated = re.search(r"util(?:isation|ization)?=([0-9.]+)", row.metric)
    seqs, tokens = vllm_defaults(device.memory_bytes, device.name)
    plan = memory_of(
        anatomy,
        precision,
        device.memory_bytes,
        tensor_parallel=row.tensor_parallel,
        pipeline_parallel=max(1, row.accelerators // row.tensor_parallel),
        utilisation=float(stated[1]) if stated else 0.9,
        max_num_seqs=row.batch or seqs,
        max_num_batched_tokens=max(row.input_tokens or 0, tokens),
        # The rows are of versions before 0.21, which did not deduct graphs.
        graphs=False,
    )
    name = row.metric.split("@")[0].strip().lower().replace("-", "_")
    wanted = {
        "weights": "weights",
        "model_weights": "weights",
        "activation_peak": "activation peak",
        "activations": "activation peak",
        "non_torch": "non-torch",
        "kv_cache": "KV cache",
    }.get(name)
    for term in plan.terms.terms:
        if term.name == wanted:
            return term.value
    raise Unusable(f"unknown metric {row.metric!r}")


def _looked_up(row: Measurement) -> tuple[Anatomy, Accelerator, Precision]:
    anatomy = _known(row.model)
    if anatomy is None:
        raise Unusable(f"no config of {row.model} in the catalogue")
    device = find_accelerator(row.accelerator)
    if device is None:
        raise Unusable(f"no accelerator {row.accelerator} in the catalogue")
    try:
        return anatomy, device, find_precision(row.weight_dtype, row.kv_dtype)
    except UsageError as error:
        raise Unusable(error.message) from error


def _known(name: str) -> Anatomy | None:
    """The anatomy of a name; of the model it was quantised from, where only that is known."""
    short = name.rsplit("/", maxsplit=1)[-1]
    plain = _QUANTISED.sub("", short)
    for candidate in (name, short, plain, f"{plain}-Instruct"):
        found = known_anatomy(candidate)
        if found is not None:
            return found
    return None


def _prompts(count: int, tokens: int) -> Batch:
    return Batch(prefill_tokens=count * tokens, prefill_context=count * tokens * (tokens + 1) / 2)


def _decode(count: int, context: float) -> Batch:
    return Batch(decode_seqs=count, decode_context=count * context)


def _static(model: RooflineModel, batch: int, prompt: int, completion: int) -> tuple[Parts, float]:
    """All prompts together, then a step for every token of the completions, in lockstep."""
    total = model.parts_of(_prompts(batch, prompt))
    for sample in range(_SAMPLES):
        context = prompt + completion * (sample + 0.5) / _SAMPLES
        total += model.parts_of(_decode(batch, context)).times(completion / _SAMPLES)
    return total, float(batch * completion)


def _saturated(
    model: RooflineModel, row: Measurement, prompt: int, completion: int
) -> tuple[Parts, float]:
    """A step in the steady state: n sequences decode, and n / completion prompts are taken in.

    n is what the cache holds of sequences at the middle of their completion: in the steady state
    they are at all stages of it.
    """
    middle = prompt + completion / 2
    n = row.batch or _sequences(model, row, prompt, completion)
    fresh = n / completion
    batch = Batch(
        decode_seqs=n,
        decode_context=n * middle,
        prefill_tokens=round(fresh * prompt),
        prefill_context=fresh * prompt * (prompt + 1) / 2,
    )
    return model.parts_of(batch), float(n)


def _sequences(model: RooflineModel, row: Measurement, prompt: int, completion: int) -> int:
    middle = prompt + completion // 2
    memory = model.accelerator.memory_bytes
    if row.engine.startswith("tensorrt"):
        held = bytes_of_rank(
            weights_of(model.anatomy, model.precision),
            model.anatomy,
            tensor_parallel=model.tensor_parallel,
            pipeline_parallel=model.pipeline_parallel,
        )
        cache = _TENSORRT_KV_SHARE * (memory - held - _TENSORRT_RUNTIME)
        each = sequence_bytes(
            model.anatomy,
            model.precision,
            middle,
            tensor_parallel=model.tensor_parallel,
            pipeline_parallel=model.pipeline_parallel,
        )
        n = min(_TENSORRT_SEQS, int(cache / each)) if each else _TENSORRT_SEQS
    else:
        seqs, tokens = vllm_defaults(memory, model.accelerator.name)
        plan = memory_of(
            model.anatomy,
            model.precision,
            memory,
            max_model_len=prompt + completion,
            max_num_seqs=seqs,
            max_num_batched_tokens=tokens,
            tensor_parallel=model.tensor_parallel,
            pipeline_parallel=model.pipeline_parallel,
        )
        n = plan.seqs_that_fit(middle)
    if n < 1:
        raise Unusable("does not fit")
    return n
