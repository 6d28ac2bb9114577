"""Which model goes where, and what cannot be: decided before any process is started."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pilotage.catalog import ModelShape, read_header
from pilotage.devices import Machine, PhysicalCore
from pilotage.engines.memory import RUNTIME_BYTES
from pilotage.engines.registry import ModelFiles
from pilotage.errors import ResourceError, UsageError
from pilotage.serve import launch as launch_module
from pilotage.serve.launch import ServePlan, plan_serving
from pilotage.serve.models import planned as planned_module
from pilotage.serve.models.planned import plan_models
from pilotage.spec import Deployment

GIB = 1 << 30


@pytest.fixture(autouse=True)
def _a_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Four cores, 8 GiB free."""
    machine = Machine(
        cores=tuple(PhysicalCore(cpus=(i,), node=None, package=0) for i in range(4)),
        memory_bytes=8 * GIB,
        free_bytes=8 * GIB,
    )
    monkeypatch.setattr(launch_module, "free_memory", lambda: 8 * GIB)
    monkeypatch.setattr(planned_module, "discover", lambda: machine)
    monkeypatch.setenv("PILOTAGE_HOME", str(tmp_path / "home"))


def plan(model: Path, *others: dict[str, Any], **serving: Any) -> ServePlan:
    """The embedded model as "a", and others of the same file."""
    spec = Deployment.model_validate(
        {
            "model": {"served_name": "a", "max_model_len": 1024},
            "serving": {
                "models": [{"max_model_len": 1024, **other} for other in others],
                "max_num_seqs": 4,
                **serving,
            },
        }
    )
    return plan_serving(spec, [model] * (1 + len(others)))


def test_every_worker_holds_every_model_unless_a_map_says_else(embedded_model: Path) -> None:
    planned = plan(embedded_model, {"served_name": "b"}, workers=2, models_per_worker=2)
    assert [model.workers for model in planned.models] == [(0, 1), (0, 1)]
    assert [model.copies for model in planned.models] == [2, 2]
    mapped = plan(
        embedded_model,
        {"served_name": "b"},
        worker_map=[{"cores": [3], "models": ["b"]}, {"cores": [0, 1]}, {"models": ["a"]}],
    )
    assert [model.workers for model in mapped.models] == [(1, 2), (0, 1)]
    assert [piece.cores for piece in mapped.slices] == [(3,), (0, 1), (2,)]


def test_preloaded_models_share_the_memory(embedded_model: Path) -> None:
    alone = plan(embedded_model, kv_cache=str(GIB)).models[0]
    assert alone.memory is not None
    assert alone.memory_bytes == alone.memory.weight_bytes + RUNTIME_BYTES + alone.memory.kv_bytes
    first, second = plan(embedded_model, {"served_name": "b"}, kv_cache=str(GIB)).models
    assert first.memory is not None
    assert first.memory == second.memory
    assert first.memory.kv_bytes == pytest.approx(GIB / 2, rel=0.01)
    many = [{"served_name": f"m{i}"} for i in range(40)]
    with pytest.raises(ResourceError):
        plan(embedded_model, *many)
    lazy = [{"served_name": f"m{i}", "load": "lazy"} for i in range(40)]
    assert len(plan(embedded_model, *lazy).models) == 41


def test_a_budget_that_the_models_do_not_fit_into(embedded_model: Path) -> None:
    other = {"served_name": "b"}
    with pytest.raises(ResourceError) as refusal:
        plan(embedded_model, other, memory_budget="600MiB")
    assert "memory" in str(refusal.value)
    planned = plan(embedded_model, {**other, "load": "lazy"}, memory_budget="600MiB")
    assert planned.budgets == (600 << 20,)
    assert [model.load for model in planned.models] == ["preload", "lazy"]
    with pytest.raises(ResourceError):
        plan(embedded_model, {**other, "load": "lazy"}, memory_budget="200MiB")


@pytest.mark.parametrize(
    ("serving", "message", "where"),
    [
        ({"worker_map": [{"models": ["nobody"]}]}, "no model 'nobody'", "worker_map[0].models"),
        ({"worker_map": [{"models": ["a"]}]}, "no worker holds 'b'", "serving.worker_map"),
        ({"worker_map": [{"cores": [9]}]}, "there is no CPU 9", "worker_map[0].cores"),
        (
            {"worker_map": [{"cores": [1]}, {"cores": [1, 2]}]},
            "CPU 1 is also named by serving.worker_map[0]",
            "worker_map[1].cores",
        ),
        ({"worker_map": [{"devices": [0]}]}, "there is no", "worker_map[0].devices"),
        ({"workers": 5}, "5 workers for 4 CPU cores", "--workers"),
        ({"device": "cuda"}, "cannot compute on cuda", "device"),
        ({"aliases": {"chat": [{"model": "c"}]}}, "there is no model 'c'", "targets[0].model"),
        ({"aliases": {"a": [{"model": "b"}]}}, "name of a model", "name"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(
    embedded_model: Path, serving: dict[str, Any], message: str, where: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        plan(embedded_model, {"served_name": "b"}, **serving)
    assert message in str(refusal.value)
    assert where in str(refusal.value.where)
    assert refusal.value.exit_code == 2


def test_two_models_of_one_name(embedded_model: Path) -> None:
    with pytest.raises(UsageError, match="two models are called 'a'") as refusal:
        plan(embedded_model, {"served_name": "b"}, {"served_name": "a"})
    assert refusal.value.where == "serving.models[1]"


@pytest.mark.parametrize(("asked", "longest"), [(None, 256), (128, 128), (512, 512)])
def test_an_encoder_is_opened_as_long_as_the_spec_says(
    embedded_model: Path, asked: int | None, longest: int
) -> None:
    """Whether it has so many positions is its engine's to say; nothing is cut in silence."""
    shape = ModelShape.from_gguf(read_header(embedded_model))
    advised = dataclasses.replace(shape, context_length=256)
    files = ModelFiles(embedded_model, "openvino", advised, "embed", memory_bytes=GIB)
    spec = Deployment.model_validate({"model": {"served_name": "e", "max_model_len": asked}})
    (model,) = plan_models(
        spec, [(spec.model, files)], [(0,)], free_bytes=4 * GIB, budgets=[4 * GIB]
    )
    assert model.max_model_len == longest
