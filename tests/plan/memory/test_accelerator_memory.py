"""Memory of a rank against vLLM's own logs, and its monotony."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.catalog.accelerators import ACCELERATORS
from pilotage.catalog.anatomies import known_anatomy
from pilotage.catalog.anatomy import Anatomy
from pilotage.errors import UsageError
from pilotage.plan.memory import MemoryPlan, image_bytes, memory_of, sequence_bytes, vllm_defaults
from pilotage.plan.precision import find_precision

GIB = 2**30
H100 = ACCELERATORS["h100"].memory_bytes
T4 = ACCELERATORS["t4"].memory_bytes
LLAMA, VISION = "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.2-11B-Vision-Instruct"


def model(name: str) -> Anatomy:
    found = known_anatomy(name)
    assert found is not None
    return found


def gib(plan: MemoryPlan, term: str) -> float:
    [value] = [each.value for each in plan.terms.terms if each.name == term]
    return value / GIB


@pytest.mark.parametrize(
    ("name", "precision", "ranks", "logged"),
    [
        (LLAMA, "bf16", 1, (14.99, 4.76, 0.13, 51.38)),
        ("nvidia/Llama-3.3-70B-Instruct-FP8", "fp8", 2, (33.88, 4.84, 0.55, 32.0)),
        ("Qwen/Qwen3-0.6B", "bf16", 1, (1.12, 5.56, 0.13, 64.45)),
        ("openai/gpt-oss-20b", "mxfp4", 1, (13.47, 7.38, 0.13, 50.28)),
    ],
)
def test_it_is_what_vllm_logs(
    name: str, precision: str, ranks: int, logged: tuple[float, ...]
) -> None:
    plan = memory_of(
        model(name), find_precision(precision), H100, tensor_parallel=ranks, graphs=False
    )
    terms = ("weights", "activation peak", "non-torch", "KV cache")
    for term, expected in zip(terms, logged, strict=True):
        assert gib(plan, term) == pytest.approx(expected, rel=0.02), term
    assert plan.terms.value == pytest.approx(0.9 * H100)


def test_eleven_billion_in_bf16_do_not_fit_a_t4() -> None:
    plan = memory_of(model(VISION), find_precision("bf16"), T4, max_model_len=2048, images=1)
    assert gib(plan, "weights") == pytest.approx(19.9, abs=0.1)
    assert not plan.fits
    assert plan.kv_bytes == 0
    assert plan.seqs_that_fit(100) == 0
    # What is missing: all terms, and one sequence with its image, over what may be used.
    assert plan.shortfall_bytes == pytest.approx(
        plan.terms.value + plan.sequence_bytes(2048) - plan.budget_bytes
    )


def test_an_image_takes_200_mib_of_cross_attention_cache() -> None:
    assert image_bytes(model(VISION), find_precision("bf16")) == pytest.approx(
        200 * 2**20, rel=1e-3
    )
    assert image_bytes(model(LLAMA), find_precision("bf16")) == 0


def test_profiling_large_images_is_cured_by_fewer_sequences() -> None:
    def plan(seqs: int) -> MemoryPlan:
        return memory_of(
            model(VISION),
            find_precision("bf16"),
            H100,
            max_num_seqs=seqs,
            max_model_len=4096,
            images=1,
        )

    assert not plan(256).fits
    assert plan(16).fits


def test_kv_bytes_a_token_of_every_kind_of_attention() -> None:
    bf16 = find_precision("bf16")
    assert sequence_bytes(model(LLAMA), bf16, 1000) == 1000 * 128 * 1024
    assert sequence_bytes(model(LLAMA), bf16, 1000, tensor_parallel=8) == 1000 * 16 * 1024
    # More ranks than KV heads: each keeps a whole head.
    assert sequence_bytes(model(LLAMA), bf16, 10, tensor_parallel=16) == 10 * 16 * 1024
    sliding = model("openai/gpt-oss-20b")
    a_token = 12 * 8 * 2 * 64 * 2
    assert sequence_bytes(sliding, bf16, 1000) == a_token * (1000 + 128)
    latent = model("deepseek-ai/DeepSeek-V3")
    assert sequence_bytes(latent, bf16, 10) == 10 * 61 * (512 + 64) * 2
    assert sequence_bytes(latent, bf16, 10, tensor_parallel=8) == sequence_bytes(latent, bf16, 10)


def test_every_term_says_how_and_whence() -> None:
    plan = memory_of(model(LLAMA), find_precision("bf16"), H100, tensor_parallel=2)
    assert all(term.formula and term.source and term.unit == "B" for term in plan.terms.terms)
    assert {term.name for term in plan.terms.terms} >= {"weights", "CUDA graphs", "KV cache"}


def test_what_the_server_takes_when_told_nothing() -> None:
    assert vllm_defaults(180 * 10**9) == (1024, 16384)
    assert vllm_defaults(H100) == (1024, 8192)
    assert vllm_defaults(H100, "a100-80gb") == (256, 2048)
    assert vllm_defaults(T4) == (256, 2048)


@pytest.mark.parametrize(
    "wrong",
    [
        {"utilisation": 0.0},
        {"utilisation": 1.1},
        {"tensor_parallel": 0},
        {"max_num_seqs": 0},
        {"images": -1},
    ],
)
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        memory_of(model(LLAMA), find_precision("bf16"), H100, **wrong)  # type: ignore[arg-type]


@given(
    ranks=st.sampled_from([1, 2, 4, 8]),
    stages=st.integers(1, 4),
    precision=st.sampled_from(["bf16", "fp8", "awq", "mxfp4"]),
    name=st.sampled_from([LLAMA, "openai/gpt-oss-20b", "Qwen/Qwen2.5-7B-Instruct"]),
    length=st.integers(16, 32_000),
)
def test_more_ranks_hold_less_and_longer_sequences_are_fewer(
    ranks: int, stages: int, precision: str, name: str, length: int
) -> None:
    def plan(tensor: int, pipeline: int) -> MemoryPlan:
        return memory_of(
            model(name),
            find_precision(precision),
            H100,
            tensor_parallel=tensor,
            pipeline_parallel=pipeline,
        )

    here, wider, deeper = plan(ranks, stages), plan(ranks * 2, stages), plan(ranks, stages + 1)
    # Shards of MXFP4 experts are padded, so twice the ranks may not quite halve them.
    assert gib(wider, "weights") < gib(here, "weights")
    assert gib(deeper, "weights") <= gib(here, "weights")
    assert here.seqs_that_fit(length) >= here.seqs_that_fit(length * 2)
    held = here.seqs_that_fit(length) * here.sequence_bytes(length)
    assert held <= here.kv_bytes
    assert here.kv_tokens_at(length) * here.sequence_bytes(length) <= length * here.kv_bytes * 1.001
