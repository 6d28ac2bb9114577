"""Steps: known figures by hand, the claims that physics refutes, and monotony."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.catalog.accelerators import ACCELERATORS
from pilotage.catalog.anatomies import known_anatomy
from pilotage.errors import UsageError
from pilotage.plan.calibration import efficiency_for
from pilotage.plan.precision import find_precision
from pilotage.plan.roofline import (
    PERFECT,
    Parts,
    RooflineModel,
    encode_flops,
    image_patches,
    image_prompt_tokens,
)
from pilotage.plan.step_model import Batch

VISION = "meta-llama/Llama-3.2-11B-Vision-Instruct"


def roofline(
    name: str = "meta-llama/Llama-2-7b-hf",
    precision: str = "fp16",
    accelerator: str = "a100-80gb",
    *,
    ranks: int = 1,
    stages: int = 1,
    perfect: bool = False,
) -> RooflineModel:
    anatomy = known_anatomy(name)
    assert anatomy is not None
    device, held = ACCELERATORS[accelerator], find_precision(precision)
    return RooflineModel(
        anatomy,
        held,
        device,
        tensor_parallel=ranks,
        pipeline_parallel=stages,
        efficiency=PERFECT if perfect else efficiency_for(device, held),
    )


def test_a_decode_step_reads_the_weights_that_multiply_and_the_cache() -> None:
    # Llama-2-7B: 6,738,415,616 weights less the embedding of 131,072,000; 512 KiB a token.
    step = roofline(perfect=True).floor_s(Batch(decode_seqs=1, decode_context=1000))
    read = 2 * (6_738_415_616 - 131_072_000) + 1001 * 512 * 1024
    assert step == pytest.approx(read / 2039e9)


def test_a_long_prompt_is_bound_by_its_products() -> None:
    tokens, layers = 2048, 32
    step = roofline(perfect=True).floor_s(
        Batch(prefill_tokens=tokens, prefill_context=tokens * (tokens + 1) / 2)
    )
    blocks = 6_738_415_616 - 2 * 131_072_000
    flops = 2 * blocks * tokens + 2 * 131_072_000  # the head for the last token alone
    flops += layers * 4 * 4096 * tokens * (tokens + 1) / 2
    assert step == pytest.approx(flops / 312e12)


def test_a_vision_model_on_a_t4_and_on_an_h100() -> None:
    t4 = roofline(VISION, "fp16", "t4")
    assert t4.request_floor_s(30, 128, images=1) > 7.0  # the claim: 387 ms
    assert t4.floor_s(Batch(decode_seqs=1)) > 0.055
    assert roofline(VISION, "bf16", "h100").request_floor_s(30, 128, images=1) > 0.65


def test_the_floor_of_a_request_is_that_of_its_steps() -> None:
    model = roofline()
    steps = model.floor_s(Batch(prefill_tokens=100, prefill_context=5050)) + sum(
        model.floor_s(Batch(decode_seqs=1, decode_context=100 + done)) for done in range(1, 50)
    )
    assert model.request_floor_s(100, 50) == pytest.approx(steps, rel=1e-3)
    assert model.request_floor_s(100, 1) == model.floor_s(
        Batch(prefill_tokens=100, prefill_context=5050)
    )


def test_a_batch_reads_few_experts_and_a_large_one_all() -> None:
    model = roofline("openai/gpt-oss-20b", "mxfp4", "h100")

    def weights(seqs: int) -> float:
        return model.parts_of(Batch(decode_seqs=seqs, decode_context=seqs)).weights

    assert weights(1) < weights(4) < weights(32) < weights(1000)
    assert weights(1000) == pytest.approx(weights(2000), rel=1e-6)
    assert weights(1) < weights(1000) / 3


def test_layers_with_a_window_stop_growing() -> None:
    model = roofline("openai/gpt-oss-20b", "mxfp4", "h100")

    def cache(context: int) -> float:
        return model.parts_of(Batch(decode_seqs=1, decode_context=context)).cache

    within, beyond = cache(128) - cache(64), cache(1128) - cache(1064)
    assert beyond == pytest.approx(within / 2)


def test_what_is_explained_adds_up() -> None:
    model = roofline("openai/gpt-oss-20b", "mxfp4", "h100", ranks=2)
    batch = Batch(
        prefill_tokens=500, prefill_context=60_000, decode_seqs=40, decode_context=40_000, images=0
    )
    told = model.explain(batch)
    assert told.value == pytest.approx(model.step_s(batch))
    assert all(term.formula and term.source for term in told.terms)
    assert {"weights", "KV cache", "experts' products", "all-reduce", "overhead"} <= {
        term.name for term in told.terms
    }
    old = dataclasses.replace(model.efficiency, repeats=0.5)
    assert model.with_efficiency(old).explain(batch).value > told.value


def test_images_cost_their_encoding() -> None:
    model = roofline(VISION, "bf16", "h100")
    vision = model.anatomy.vision
    assert vision is not None
    assert image_patches(vision) == 4 * 1601
    assert image_prompt_tokens(vision) == 1
    with_image = model.prefill_s(30, images=1)
    assert with_image - model.prefill_s(30) > encode_flops(vision) / ACCELERATORS["h100"].fp16
    qwen = known_anatomy("Qwen/Qwen2.5-VL-7B-Instruct")
    assert qwen is not None
    assert qwen.vision is not None
    assert image_prompt_tokens(qwen.vision, 560, 280) == 20 * 10


def test_a_lone_sequence_gains_nothing_from_stages_and_a_batch_does() -> None:
    one, two = roofline(stages=1), roofline(stages=2)
    lone = Batch(decode_seqs=1, decode_context=1000)
    many = Batch(decode_seqs=64, decode_context=64_000)
    assert two.step_s(lone) == pytest.approx(one.step_s(lone))
    assert two.step_s(many) < one.step_s(many)


def test_parts_add_up_and_scale() -> None:
    model = roofline()
    parts = model.parts_of(Batch(decode_seqs=3, decode_context=300))
    both = parts + parts
    assert both == parts.times(2)
    assert both.seconds(model.efficiency) == pytest.approx(2 * parts.seconds(model.efficiency))
    assert Parts().seconds(model.efficiency) == 0


def test_no_ranks_are_refused() -> None:
    with pytest.raises(UsageError):
        roofline(ranks=0)


MODELS = st.sampled_from(
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "bf16"),
        ("openai/gpt-oss-20b", "mxfp4"),
        ("deepseek-ai/DeepSeek-V3", "fp8"),
        (VISION, "awq"),
    ]
)
BATCHES = st.builds(
    lambda prompt, seqs, each, images: Batch(
        prefill_tokens=prompt,
        prefill_context=prompt * (prompt + 1) / 2,
        decode_seqs=seqs,
        decode_context=float(seqs * each),
        images=images,
    ),
    st.integers(0, 8192),
    st.integers(0, 512),
    st.integers(0, 20_000),
    st.integers(0, 2),
)


@given(
    which=MODELS,
    batch=BATCHES,
    device=st.sampled_from(sorted(ACCELERATORS)),
    ranks=st.sampled_from([1, 2, 8]),
    stages=st.integers(1, 3),
)
def test_more_work_takes_longer_and_nothing_beats_the_floor(
    which: tuple[str, str], batch: Batch, device: str, ranks: int, stages: int
) -> None:
    model = roofline(*which, device, ranks=ranks, stages=stages)
    here = model.step_s(batch)
    assert 0 <= model.floor_s(batch) <= here
    longer = dataclasses.replace(
        batch,
        prefill_context=batch.prefill_context * 1.5,
        decode_context=batch.decode_context * 1.5,
    )
    assert model.step_s(longer) >= here
    assert model.floor_s(longer) >= model.floor_s(batch)
    if stages == 1:  # with stages, one sequence more may be what lets them overlap
        more = dataclasses.replace(
            batch,
            decode_seqs=batch.decode_seqs + 1,
            decode_context=batch.decode_context + 100,
        )
        assert model.step_s(more) > here
        assert model.prefill_s(batch.prefill_tokens + 1) > model.prefill_s(batch.prefill_tokens)


@given(which=MODELS, batch=BATCHES, ranks=st.sampled_from([1, 2, 4]))
def test_more_ranks_have_a_lower_floor(which: tuple[str, str], batch: Batch, ranks: int) -> None:
    few, more = (roofline(*which, "h100", ranks=n) for n in (ranks, 2 * ranks))
    assert more.floor_s(batch) <= few.floor_s(batch) * (1 + 1e-9)
