"""Bytes of weights by precision."""

from __future__ import annotations

import pytest

from pilotage.catalog.anatomies import known_anatomy
from pilotage.catalog.anatomy import Anatomy
from pilotage.plan.memory import bytes_of_rank, weights_of
from pilotage.plan.precision import PRECISIONS, find_precision


def model(name: str) -> Anatomy:
    found = known_anatomy(name)
    assert found is not None
    return found


def test_bytes_follow_from_the_parameters() -> None:
    llama = model("meta-llama/Llama-2-7b-hf")
    assert weights_of(llama, find_precision("bf16")).total == 2 * llama.parameters
    assert weights_of(llama, find_precision("fp32")).total == 4 * llama.parameters


def test_quantisation_leaves_embedding_and_head_at_16_bits() -> None:
    plain, stored = model("Qwen/Qwen2.5-7B-Instruct"), model("Qwen/Qwen2.5-7B-Instruct-AWQ")
    awq = weights_of(plain, find_precision("awq"))
    assert awq.embedding == 2 * plain.embedding_parameters
    assert awq.head == 2 * plain.head_parameters
    # Whether the config says that it is AWQ or the planner asks for it: the same bytes.
    assert weights_of(stored, find_precision("int4-awq")).total == pytest.approx(
        awq.total, rel=0.001
    )


def test_a_tied_head_is_counted_once_and_still_read() -> None:
    weights = weights_of(model("Qwen/Qwen3-0.6B"), find_precision("bf16"))
    assert weights.tied
    assert weights.head == weights.embedding
    assert weights.total == weights.dense + weights.embedding


def test_mxfp4_quantises_the_experts_and_pads_them() -> None:
    oss = model("openai/gpt-oss-20b")
    weights = weights_of(oss, find_precision("mxfp4"))
    in_file = sum(
        group.count * group.feed_forward.experts * group.feed_forward.expert_parameters
        for group in oss.layers
    ) * (4.25 / 8)
    assert weights.experts == pytest.approx(in_file * (3072 / 2880) * (2944 / 2880))


@pytest.mark.parametrize("name", ["meta-llama/Llama-2-70b-hf", "openai/gpt-oss-20b"])
def test_fewer_bits_never_take_more(name: str) -> None:
    totals = [
        weights_of(model(name), PRECISIONS[one]).total
        for one in ("fp32", "bf16", "fp8", "fp4", "awq")
    ]
    assert totals == sorted(totals, reverse=True)


def test_stages_share_the_layers_and_the_ends_come_on_top() -> None:
    llama = model("meta-llama/Llama-2-70b-hf")
    weights = weights_of(llama, find_precision("bf16"))
    whole = bytes_of_rank(weights, llama, tensor_parallel=1, pipeline_parallel=1)
    half = bytes_of_rank(weights, llama, tensor_parallel=1, pipeline_parallel=2)
    assert whole == weights.total
    assert half == pytest.approx(weights.dense / 2 + weights.embedding)
