"""Many steps at once take what each of them takes, to the last bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pilotage.catalog.accelerators import ACCELERATORS
from pilotage.catalog.anatomies import known_anatomy
from pilotage.plan.calibration import efficiency_for
from pilotage.plan.precision import find_precision
from pilotage.plan.roofline import RooflineModel
from pilotage.plan.roofline.arithmetic import least, most, power
from pilotage.plan.step_model import Batch, Batches, ManyStepsModel

FIELDS = [field.name for field in dataclasses.fields(Batch)]


@pytest.mark.parametrize(
    ("name", "precision", "device", "ranks", "stages", "images"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "fp8", "l4", 1, 1, 0),
        ("meta-llama/Llama-3.1-8B-Instruct", "bf16", "a10g", 2, 2, 0),
        ("mistralai/Mixtral-8x7B-v0.1", "fp8", "h100", 4, 1, 0),  # experts
        ("openai/gpt-oss-20b", "mxfp4", "h100", 1, 1, 0),  # sliding windows, experts
        ("deepseek-ai/DeepSeek-V3", "fp8", "h200", 8, 1, 0),  # MLA, shared experts
        ("meta-llama/Llama-3.2-11B-Vision-Instruct", "fp8", "l40s", 1, 1, 1),  # cross-attention
        ("google-bert/bert-base-uncased", "fp16", "t4", 1, 1, 0),
    ],
)
def test_alike_to_the_last_bit(
    *, name: str, precision: str, device: str, ranks: int, stages: int, images: int
) -> None:
    anatomy = known_anatomy(name)
    assert anatomy is not None
    accelerator, held = ACCELERATORS[device], find_precision(precision)
    model = RooflineModel(
        anatomy,
        held,
        accelerator,
        tensor_parallel=ranks,
        pipeline_parallel=stages,
        efficiency=efficiency_for(accelerator, held),
        images=images,
    )
    assert isinstance(model, ManyStepsModel)
    random = np.random.default_rng(7)
    tokens = random.integers(0, 3000, (20, 15)) * random.integers(0, 2, (20, 15))
    seqs = random.integers(0, 300, (20, 15)) * random.integers(0, 2, (20, 15))
    batches = Batches(
        prefill_tokens=tokens,
        prefill_context=tokens * random.uniform(1, 9000, (20, 15)),
        decode_seqs=seqs,
        decode_context=seqs * random.uniform(1, 9000, (20, 15)),
        images=random.integers(0, 2, (20, 15)) * (tokens > 0) * images,
    )
    columns = [getattr(batches, name).ravel().tolist() for name in FIELDS]
    each = [
        model.step_s(Batch(**dict(zip(FIELDS, row, strict=True))))
        for row in zip(*columns, strict=True)
    ]
    assert model.steps_s(batches).ravel().tolist() == each


def test_numbers_and_arrays_have_one_arithmetic() -> None:
    array = np.array([3, 1, 3])
    assert (least(2, 3), most(2, 3)) == (2, 3)
    assert least(array, 2).tolist() == [2, 1, 2]
    assert most(2, array).tolist() == [3, 2, 3]
    assert power(0.97, array).tolist() == [0.97**3, 0.97, 0.97**3]
    assert power(0.97, 3) == 0.97**3
