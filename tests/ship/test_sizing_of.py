"""From spec and plan to numbers: each follows from its formula, and bad input is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import ship_plans
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.catalog.instances import load_instances
from pilotage.errors import SpecError, UsageError
from pilotage.ship.room import room_for_task, shared_memory
from pilotage.ship.sizing_of import prepare
from pilotage.ship.startup import LARGEST_GRACE, startup_of
from pilotage.spec import Deployment, PlanFile, read_plan

_G5 = load_instances()["g5.2xlarge"]


def sized(plan: PlanFile | None = None, **sections: Any) -> Any:
    """The sizing of receipts."""
    return prepare(ship_plans.spec(**sections), plan or ship_plans.plan()).sizing


def test_a_g5_leaves_room_for_its_agents() -> None:
    found = sized()
    assert (found.task_cpu, found.task_memory_mib) == (7168, 28672)
    assert (found.gpus, found.neuron_devices, found.engine) == (1, 0, "vllm")


@pytest.mark.parametrize(("ranks", "devices"), [(1, 1), (2, 1), (4, 2), (24, 12)])
def test_ranks_on_neuron_are_cores_of_devices(ranks: int, devices: int) -> None:
    found = sized(ship_plans.plan("inf2.48xlarge", engine="neuron", tensor_parallel=ranks))
    assert (found.gpus, found.neuron_devices, found.tasks_per_instance) == (
        0,
        devices,
        12 // devices,
    )


def test_more_cores_than_an_instance_has_are_refused() -> None:
    with pytest.raises(UsageError, match=r"over 4 NeuronCores; inf2\.xlarge has 2"):
        sized(ship_plans.plan("inf2.xlarge", engine="neuron", tensor_parallel=4))


@given(name=st.sampled_from(sorted(load_instances())), tasks=st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_tasks_always_fit_beside_the_agents(name: str, tasks: int) -> None:
    instance = load_instances()[name]
    room = room_for_task(instance, tasks)
    assert 0 < tasks * room.cpu < instance.vcpus * 1024
    assert 0 < tasks * room.memory_mib <= 0.97 * instance.memory_bytes / 2**20


def test_weights_are_counted_as_they_are_stored() -> None:
    # 10,670,220,835 parameters at 16 bits, though the plan runs them in fp8.
    found = sized(ship_plans.plan(dtype="fp8"))
    assert found.weights_bytes == 2 * 10_670_220_835
    assert found.weights_gib == 40


def test_measured_weights_win() -> None:
    shipment = prepare(ship_plans.spec(), ship_plans.plan(), weights_bytes=10**9)
    assert shipment.sizing.weights_bytes == 10**9
    assert "Weights 1.00 GB: measured." in shipment.sizing.notes


def test_weights_of_an_unknown_model_follow_the_plan() -> None:
    source = "https://example.com/model.safetensors"
    memory = {"terms": [{"name": "weights", "value": 5e9}]}
    of_memory = prepare(
        ship_plans.spec(source),
        ship_plans.plan("g5.12xlarge", tensor_parallel=4, further={"memory": memory}),
    )
    assert of_memory.sizing.weights_bytes == 20 * 10**9
    about = {"name": "own", "parameters": 10**9, "stored": "bf16"}
    of_parameters = prepare(ship_plans.spec(source), ship_plans.plan(further={"model": about}))
    assert of_parameters.sizing.weights_bytes == 2 * 10**9
    bounded = prepare(ship_plans.spec(source), ship_plans.plan())
    assert _G5.accelerator is not None
    assert bounded.sizing.weights_bytes == _G5.accelerator.memory_bytes


def test_weights_of_a_file_are_its_size(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"x" * 1000)
    shipment = prepare(ship_plans.spec(str(tmp_path / "model.gguf")), ship_plans.plan())
    assert shipment.sizing.weights_bytes == 1000


def test_grace_is_twice_fetch_and_load() -> None:
    found = startup_of(20 * 10**9, "s3://bucket/model", _G5, instance_store=True)
    # The network of a g5.2xlarge, 5 Gb/s, is below S3 and NVMe.
    assert found.fetch_s == pytest.approx(20e9 / 625e6)
    assert found.load_s == pytest.approx(20 + 60)
    assert found.grace_s == 240
    assert found.grace_s >= 2 * (found.fetch_s + found.load_s)
    assert found.grace_s % 60 == 0


def test_grace_never_exceeds_the_api() -> None:
    endless = startup_of(10**18, "hf://x/y", _G5, instance_store=False)
    assert endless.grace_s == LARGEST_GRACE
    given = startup_of(10**9, "hf://x/y", _G5, instance_store=False, given_grace=1e12)
    assert given.grace_s == LARGEST_GRACE


def test_tasks_of_one_instance_share_its_disk() -> None:
    one = startup_of(10**10, "s3://b/m", _G5, instance_store=False)
    four = startup_of(10**10, "s3://b/m", _G5, instance_store=False, tasks_per_instance=4)
    assert four.fetch_s == pytest.approx(4 * one.fetch_s)


def test_a_given_grace_that_is_short_is_said() -> None:
    found = sized(shipping={"grace": "90s"})
    assert found.grace_s == 90
    assert any("below the predicted" in note for note in found.notes)


def test_split_models_get_shared_memory() -> None:
    plan = ship_plans.plan("g6e.12xlarge", tensor_parallel=2, pipeline_parallel=2)
    found = sized(plan)
    assert (found.gpus, found.shm_mib) == (4, 4096)
    assert "--tensor-parallel" in found.arguments
    assert shared_memory(1) == (0, ())


def test_replicas_that_share_an_instance() -> None:
    found = sized(ship_plans.plan("g5.12xlarge", replicas=4))
    assert (found.gpus, found.tasks_per_instance, found.desired) == (1, 4, 4)
    assert 4 * found.task_memory_mib < 196_608


def test_inferentia() -> None:
    plan = ship_plans.plan("inf2.xlarge", strategy="ecs-neuron", engine="neuron")
    found = sized(plan)
    assert (found.gpus, found.neuron_devices, found.engine) == (0, 1, "neuron")
    assert not found.instance_store


@pytest.mark.parametrize(
    ("sections", "desired", "least", "said"),
    [
        ({}, 2, 2, "so that the loss of one is not an outage"),
        ({"budget": {"usd_per_month": 1000}}, 1, 1, "two would cost 1800"),
        ({"budget": {"usd_per_month": 5000}}, 2, 2, "so that the loss"),
        ({"shipping": {"scaling": {"max": 1}}}, 1, 1, "nothing answers"),
        ({"shipping": {"scaling": {"min": 1}}}, 1, 1, "nothing answers"),
        ({"shipping": {"scaling": {"min": 3}}}, 3, 3, "the plan needs 1"),
    ],
)
def test_two_replicas_unless_the_spec_or_budget_says_one(
    sections: dict[str, Any], desired: int, least: int, said: str
) -> None:
    found = sized(**sections)
    assert (found.desired, found.min_replicas) == (desired, least)
    assert any(said in note for note in found.notes)


def test_a_max_below_the_plan_is_said() -> None:
    found = sized(ship_plans.plan(count=4), shipping={"scaling": {"max": 2}})
    assert found.desired == 2
    assert any("below the 4" in note for note in found.notes)


@pytest.mark.parametrize(
    ("drain", "target", "drain_s", "stop_s", "said"),
    [
        ("30s", "ecs", 30, 40, "10 s to close down"),
        ("5m", "ecs", 300, 310, "ECS_CONTAINER_STOP_TIMEOUT"),
        ("2m", "sagemaker", 20, 30, "SageMaker kills"),
        ("2m", "kubernetes", 120, 130, "10 s to close down"),
    ],
)
def test_stopping_covers_the_drain(
    drain: str, target: Any, drain_s: int, stop_s: int, said: str
) -> None:
    spec = ship_plans.spec(serving={"drain_timeout": drain})
    found = prepare(spec, ship_plans.plan(), target=target).sizing
    assert (found.drain_s, found.stop_s) == (drain_s, stop_s)
    assert any(said in note for note in found.notes)


@pytest.mark.parametrize(
    ("strategy", "target"),
    [
        ("ecs-gpu", "ecs"),
        ("ecs-neuron", "ecs"),
        ("sagemaker-realtime", "sagemaker"),
        ("sagemaker-async", "sagemaker-async"),
        ("bedrock-provisioned", "bedrock-provisioned"),
        ("bedrock-on-demand", "lambda-bedrock"),
        ("lambda-bedrock", "lambda-bedrock"),
        ("machine", "local"),
    ],
)
def test_the_plan_says_the_target(strategy: str, target: str) -> None:
    provided = strategy.startswith(("bedrock", "lambda"))
    kind = None if provided or strategy == "machine" else "g5.2xlarge"
    shipment = prepare(ship_plans.spec(), ship_plans.plan(kind, strategy=strategy))
    assert shipment.target == target


def test_flag_spec_and_plan_in_that_order() -> None:
    spec = ship_plans.spec(shipping={"target": "kubernetes"})
    assert prepare(spec, ship_plans.plan()).target == "kubernetes"
    assert prepare(spec, ship_plans.plan(), target="terraform").target == "terraform"


@pytest.mark.parametrize(
    ("plan", "target", "message"),
    [
        (None, None, "nothing says where"),
        (None, "ecs", "needs a plan"),
        (ship_plans.plan(strategy="sagemaker-serverless"), None, "no target runs"),
        (ship_plans.plan(), "lambda-bedrock", "only the provider's models"),
        (ship_plans.plan(None, strategy="bedrock-on-demand"), "ecs", "no instance type"),
        (ship_plans.plan(), "local", "not this machine"),
        (ship_plans.plan(name="other"), None, 'plan of "other"'),
        (ship_plans.plan("g5.nothing"), None, "g5.nothing is not among"),
        (ship_plans.plan(tensor_parallel=4), None, "a task cannot span instances"),
    ],
)
def test_what_does_not_go_together_is_refused(
    plan: PlanFile | None, target: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        prepare(ship_plans.spec(), plan, target=target)
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_sagemaker_gives_an_hour_to_start() -> None:
    plan = ship_plans.plan("inf2.8xlarge", strategy="sagemaker-realtime", engine="neuron")
    with pytest.raises(UsageError, match="3,600 s to start"):
        prepare(ship_plans.spec(), plan, weights_bytes=400 * 10**9)
    slow = prepare(ship_plans.spec(), plan, weights_bytes=150 * 10**9)
    assert slow.sizing.grace_s == 3600


def test_an_infeasible_plan_is_refused_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(
        json.dumps(
            {
                "schema": "pilotage.plan-infeasible/1",
                "name": "receipts",
                "nearest_miss": {
                    "deployment": {"label": "5 of p5.4xlarge, fp8"},
                    "obstacles": [{"message": "$25,262 a month; the budget is $14,000"}],
                },
                "relax": ["raise the budget to $25,262"],
            }
        )
    )
    with pytest.raises(SpecError) as caught:
        read_plan(path)
    assert "5 of p5.4xlarge, fp8, the nearest miss, fails: $25,262 a month" in caught.value.message
    assert caught.value.hint == "Raise the budget to $25,262"


@pytest.mark.parametrize("body", [{}, {"nearest_miss": None, "relax": None}, {"nearest_miss": 3}])
def test_an_infeasible_plan_that_says_little(tmp_path: Path, body: dict[str, Any]) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"schema": "pilotage.plan-infeasible/1", **body}))
    with pytest.raises(SpecError, match="nothing fits"):
        read_plan(path)


def test_local_is_a_pair_of_processes_on_this_machine() -> None:
    found = prepare(Deployment(), None, target="local").sizing
    assert (found.instance_type, found.desired, found.engine) == (None, 2, "openvino")
    assert "--host" not in found.arguments


def test_a_function_fetches_nothing() -> None:
    found = prepare(Deployment(), None, target="lambda-bedrock").sizing
    assert (found.fetch_s, found.grace_s, found.max_replicas) == (0, 0, 100)
