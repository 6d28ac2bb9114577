"""Layouts: what is tried, and what of it the hardware computes."""

from __future__ import annotations

import dataclasses

import pytest
from planning import example, question

from pilotage.catalog.accelerators import ACCELERATORS
from pilotage.errors import UsageError
from pilotage.plan.assumptions import ASSUMPTIONS, assume
from pilotage.plan.candidates import accelerators, computed, layouts, machines, precisions, splits
from pilotage.plan.precision import unusable


def test_machines_have_accelerators_with_figures() -> None:
    assert {one.accelerator.name for one in machines()} >= {"t4", "l4", "a10g", "l40s", "h100"}
    assert all(one.count >= 1 for one in machines())
    # g6f has a share of an L4, of which nobody publishes the rest.
    assert not any(one.instance.family == "g6f" for one in machines())


def test_only_what_is_computed_is_laid_out() -> None:
    for layout in layouts(question()):
        assert unusable(layout.precision, layout.accelerator) is None
        assert layout.accelerators <= accelerators()[layout.accelerator.name][1]


def test_a_t4_takes_fp16_in_place_of_bf16() -> None:
    asked = question()
    assert [one.name for one in computed(asked, ACCELERATORS["t4"])] == ["fp16"]
    assert [one.name for one in computed(asked, ACCELERATORS["l4"])] == ["bf16", "fp8"]


def test_the_spec_s_format_is_the_only_one() -> None:
    assert [one.name for one in precisions(question(dtype="bf16"))] == ["bf16"]
    assert not computed(question(dtype="bf16"), ACCELERATORS["t4"])
    assert [one.name for one in precisions(question(quantization="awq"))] == ["awq"]


def test_quantised_files_stay_as_they_are() -> None:
    assert [one.name for one in precisions(example("finance"))] == ["awq"]


@pytest.mark.parametrize(
    ("quality", "names"),
    [
        ("stored", ["bf16", "fp16"]),
        ("fp8", ["bf16", "fp16", "fp8"]),
        ("any", ["bf16", "fp16", "fp8", "int8", "awq"]),
    ],
)
def test_quality_says_what_may_be_taken(quality: str, names: list[str]) -> None:
    asked = question(assumptions=assume([f"quality={quality}"]))
    assert [one.name for one in precisions(asked)] == names


def test_ranks_divide_the_heads() -> None:
    anatomy = question().anatomy  # 12 heads
    assert list(splits(anatomy, 8)) == [(1, 1), (2, 1), (4, 1), (4, 2)]


def test_own_chips_need_their_engine() -> None:
    def neuron(asked) -> set[bool]:
        return {one.accelerator.neuron for one in layouts(asked)}

    assert neuron(question()) == {False}
    assert neuron(question(engine="neuron")) == {True}
    assert neuron(question(strategies=("ecs-neuron",))) == {False, True}
    assert neuron(question(engine="vllm", strategies=("ecs-neuron",))) == {False}


def test_assumptions_are_read() -> None:
    given = assume(["burst=2h", "memory.utilisation=85%", "autoscaling=no", "image=4GB"])
    assert given.burst_s == 7200
    assert given.memory_utilisation == pytest.approx(0.85)
    assert not given.autoscaling
    assert given.image_bytes == 4 * 10**9
    assert assume(["bedrock.ttft_p99=800ms"]).bedrock.ttft_p99 == pytest.approx(0.8)
    assert dataclasses.asdict(assume([])) == dataclasses.asdict(assume([], assume([])))


@pytest.mark.parametrize("text", ["brust=2h", "burst", "burst=never", "quality=best", "="])
def test_a_wrong_assumption_is_named(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        assume([text])
    assert caught.value.where == "--assume"
    assert caught.value.hint


def test_the_names_are_listed() -> None:
    assert "burst" in ASSUMPTIONS
    assert "bedrock.e2e_p99" in ASSUMPTIONS
