"""Engines and devices: what is planned is what starts there."""

from __future__ import annotations

import dataclasses
from itertools import product
from typing import get_args

import pytest
from planning import question

from pilotage.catalog.accelerators import ACCELERATORS
from pilotage.catalog.engines import ENGINES, Computes, Work, computes_on
from pilotage.catalog.prices import load_price_book
from pilotage.plan.candidates import layouts
from pilotage.plan.engine_choice import ON_INSTANCES, engine_on, kind_of, without_engine
from pilotage.plan.option import Strategy
from pilotage.plan.question import STRATEGIES, Question
from pilotage.plan.search import search
from pilotage.spec import ModelSpec

SPEC_ENGINES = get_args(ModelSpec.model_fields["engine"].annotation)
KINDS = get_args(Computes)
ENCODER = "google-bert/bert-base-uncased"
READER = "google-bert/bert-large-uncased-whole-word-masking-finetuned-squad"
HOSTED = tuple(ON_INSTANCES)


def asked(engine: str, work: Work, strategies: tuple[Strategy, ...] = HOSTED) -> Question:
    if work == "generate":
        return question(engine=engine, strategies=strategies)
    name = ENCODER if work == "embed" else READER
    return question(name, engine=engine, strategies=strategies, max_model_len=512)


def test_the_table_knows_every_engine_of_a_spec() -> None:
    assert {"auto", *ENGINES} == set(SPEC_ENGINES)


@pytest.mark.parametrize("engine", SPEC_ENGINES)
@pytest.mark.parametrize("work", get_args(Work))
def test_no_engine_is_paired_with_a_device_it_does_not_compute_on(engine: str, work: Work) -> None:
    for kind in KINDS:
        found = engine_on(asked(engine, work), kind)
        if found is not None:
            assert engine in ("auto", found.name)
            assert kind in computes_on(found.name)
            assert work in found.work
        elif engine != "auto":
            assert kind not in ENGINES[engine].devices or work not in ENGINES[engine].work
    # Each strategy has layouts to choose from, or a reason why it has none.
    for strategy, kinds in ON_INSTANCES.items():
        one = asked(engine, work, (strategy,))
        reasons = list(without_engine(one))
        able = [kind for kind in kinds if engine_on(one, kind) is not None]
        assert bool(able) != bool(reasons)
        for option in reasons:
            assert option.configuration.strategy == strategy
            assert option.obstacles[0].limit == "engine"
            assert option.obstacles[0].relax


@pytest.mark.parametrize("engine", SPEC_ENGINES)
def test_layouts_lie_on_what_the_engine_computes_on(engine: str) -> None:
    one = question(engine=engine, strategies=HOSTED)
    found = {kind_of(layout.accelerator) for layout in layouts(one)}
    assert found == {kind for kind in ("cuda", "neuron") if engine_on(one, kind) is not None}
    if engine in ("transformers", "llamacpp"):  # one accelerator a copy, weights as they are
        assert {layout.accelerators for layout in layouts(one)} == {1}
        assert {layout.precision.name for layout in layouts(one)} <= {"bf16", "fp16"}


def test_kinds_are_told_by_the_catalogue() -> None:
    assert kind_of(ACCELERATORS["t4"]) == "cuda"
    assert kind_of(ACCELERATORS["inferentia2"]) == "neuron"


@pytest.mark.parametrize(("engine", "strategy"), [*product(("openvino", "onnxruntime"), HOSTED)])
def test_an_engine_of_the_cpu_is_never_put_on_a_gpu(engine: str, strategy: Strategy) -> None:
    found = search(question(engine=engine, strategies=(strategy,)), load_price_book("us-east-1"))
    assert not found.plan.feasible
    (only,) = found.plan.infeasible
    assert only.obstacles[0].limit == "engine"
    assert found.plan.nearest_miss is None


def test_the_reason_names_the_engines_that_do() -> None:
    (option,) = without_engine(question(engine="openvino", strategies=("machine",)))
    (obstacle,) = option.obstacles
    assert "openvino computes on CPUs, and these instances have GPUs" in obstacle.message
    assert "vllm, transformers or llamacpp" in obstacle.relax
    assert "pilotage plan calibrate" in obstacle.relax


def test_an_encoder_s_work_is_told_by_its_head_or_the_spec() -> None:
    assert question(ENCODER, max_model_len=512).work == "embed"
    assert question(READER, max_model_len=512).work == "predict"
    assert question().work == "generate"
    assert dataclasses.replace(question(), task="embed").work == "embed"
    assert dataclasses.replace(question(READER, max_model_len=512), task="embed").work == "embed"


def test_embeddings_go_to_vllm_on_a_gpu_and_classifiers_nowhere() -> None:
    embeds, predicts = asked("auto", "embed"), asked("auto", "predict")
    engine = engine_on(embeds, "cuda")
    assert engine is not None
    assert engine.name == "vllm"
    assert engine_on(predicts, "cuda") is None
    assert "neuron" in next(iter(without_engine(predicts))).obstacles[0].relax
    assert set(STRATEGIES) > set(HOSTED)
