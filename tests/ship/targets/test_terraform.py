"""The Terraform root module: its form, its arguments by a stand-in module, what it refuses."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import shipments
from goldens import check_golden

from pilotage.errors import UsageError
from pilotage.ship.target import Shipment
from pilotage.ship.targets import target_of
from pilotage.ship.targets.terraform import MODULE_SOURCE, MODULE_VERSION
from pilotage.ship.targets.terraform_module import module_arguments, module_call
from pilotage.spec import Deployment, parse

TERRAFORM = shutil.which("terraform")
STAND_IN = Path(__file__).parent / "ecs_module_variables.tf"


def to_terraform(shipment: Shipment, **sizing: object) -> Shipment:
    return replace(
        shipment,
        target="terraform",
        sizing=replace(shipment.sizing, **sizing),  # type: ignore[arg-type]
    )


SHIPMENTS = {
    "terraform-receipts": to_terraform(shipments.receipts()),
    "terraform-finance": to_terraform(shipments.finance()),
}
OTHERS = {
    "downtime": to_terraform(shipments.receipts(rollout="downtime"), min_replicas=1, desired=1),
    "requests": to_terraform(
        shipments.receipts(scaling={"metric": "requests"}, account=shipments.ACCOUNT)
    ),
    "gpu": to_terraform(shipments.receipts(scaling={"metric": "gpu", "target": 72.4})),
    "cpu": to_terraform(
        shipments.receipts(alarms={"topic_arn": shipments.TOPIC}),
        gpus=0,
        engine="openvino",
        instance_type="c7i.4xlarge",
    ),
    "odd-tags": to_terraform(shipments.receipts(tags={"a b": 'say "${x}" %{if} ü', "team": "x"})),
}
ALL = SHIPMENTS | OTHERS


def files_of(shipment: Shipment) -> dict[str, str]:
    return dict(target_of("terraform").render(shipment).files)


def write(files: dict[str, str], folder: Path) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(exist_ok=True, parents=True)
        (folder / path).write_text(text, encoding="utf-8")


def terraform(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert TERRAFORM is not None
    quiet = {
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
    }
    return subprocess.run(
        [TERRAFORM, *arguments], cwd=folder, env=quiet, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", SHIPMENTS)
def test_renders_are_as_kept(name: str) -> None:
    files = files_of(SHIPMENTS[name])
    check_golden(name, {path.replace("/", "--"): text for path, text in files.items()})


@pytest.mark.skipif(TERRAFORM is None, reason="terraform is not installed")
def test_terraform_fmt_has_nothing_to_change(tmp_path: Path) -> None:
    for name, shipment in ALL.items():
        write(files_of(shipment), tmp_path / name)
    checked = terraform(tmp_path, "fmt", "-check", "-recursive", "-diff")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.skipif(TERRAFORM is None, reason="terraform is not installed")
def test_names_and_types_of_the_arguments_are_the_modules(tmp_path: Path) -> None:
    """``terraform validate`` without the provider: a stand-in for the module, nothing of AWS."""
    for name in ("terraform-receipts", "terraform-finance", "odd-tags"):
        validated = terraform_validate(files_of(ALL[name]), tmp_path / name)
        assert validated.returncode == 0, validated.stdout + validated.stderr


@pytest.mark.skipif(TERRAFORM is None, reason="terraform is not installed")
def test_an_argument_that_the_module_lacks_would_be_found(tmp_path: Path) -> None:
    files = files_of(SHIPMENTS["terraform-receipts"])
    files["main.tf"] = files["main.tf"].replace("  gpu_count ", "  gpu_number ")
    validated = terraform_validate(files, tmp_path)
    assert validated.returncode != 0
    assert "gpu_number" in validated.stdout + validated.stderr


def terraform_validate(files: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    main = files["main.tf"]
    main = re.sub(r'\n  version += ".*"', "", main, count=1)
    main = main.replace(f'"{MODULE_SOURCE}"', '"./stand_in"')
    main = re.sub(r"\n  providers = \{.*?\n  \}\n", "\n", main, flags=re.DOTALL)
    main = re.sub(r'data "[^"]*" "[^"]*" \{.*?\n\}\n\n', "", main, flags=re.DOTALL)
    main = main.replace("data.aws_vpc.this.cidr_block", '"10.0.0.0/16"')
    write(
        {
            "main.tf": main,
            "variables.tf": files["variables.tf"],
            "outputs.tf": files["outputs.tf"],
            "spec.yaml": files["spec.yaml"],
            "stand_in/main.tf": STAND_IN.read_text("utf-8"),
        },
        folder,
    )
    initialised = terraform(folder, "init", "-input=false", "-no-color", "-backend=false")
    if initialised.returncode:
        return initialised
    return terraform(folder, "validate", "-no-color")


def test_the_module_and_the_provider_are_pinned() -> None:
    files = files_of(SHIPMENTS["terraform-receipts"])
    assert f'source  = "{MODULE_SOURCE}"' in files["main.tf"]
    assert f'version = "{MODULE_VERSION}"' in files["main.tf"]
    assert 'required_version = "~> 1.5"' in files["versions.tf"]
    assert 'version = "~> 6.0"' in files["versions.tf"]


def test_every_value_comes_from_the_sizing() -> None:
    shipment = SHIPMENTS["terraform-receipts"]
    sizing, found = shipment.sizing, module_arguments(shipment)
    assert found["gpu_count"] == sizing.gpus
    assert found["service_health_check_grace_period_seconds"] == sizing.grace_s
    assert found["asg_health_check_grace_period"] == sizing.grace_s
    assert (found["container_cpu"], found["container_memory"]) == (7168, 61440)
    assert found["task_desired_count"] == sizing.desired
    assert (found["task_min_count"], found["task_max_count"]) == (2, 6)
    # Six tasks, and one more while a rollout starts the new before it stops the old.
    assert found["asg_max_size"] == 7
    assert found["task_local_volumes"]["models"]["host_path"] == "/var/models"
    assert found["gpu_autoscaling_target"] == 60
    # System and logs 100, weights 48, and the module's swap of twice the 64 GiB of g6e.2xlarge.
    assert found["root_volume_size"] == 100 + 48 + 2 * 64


def test_two_tasks_an_instance_take_half_the_instances() -> None:
    found = module_arguments(to_terraform(shipments.receipts(), tasks_per_instance=2))
    assert (found["asg_min_size"], found["asg_max_size"]) == (1, 4)


def test_downtime_stops_the_old_first() -> None:
    found = module_arguments(OTHERS["downtime"])
    assert found["deployment_minimum_healthy_percent"] == 0
    assert found["deployment_maximum_percent"] == 100
    assert found["asg_max_size"] == 6


def test_scaling_is_what_the_module_has() -> None:
    assert module_arguments(OTHERS["gpu"])["gpu_autoscaling_target"] == 72
    by_requests = module_arguments(OTHERS["requests"])
    assert by_requests["autoscaling_metric"] == "ALBRequestCountPerTarget"
    # 40 requests a second over 2 replicas, four fifths of it, a minute.
    assert by_requests["autoscaling_target"] == 960
    finance = target_of("terraform").render(SHIPMENTS["terraform-finance"])
    assert any("p90_latency" in warning for warning in finance.warnings)


def test_spot_is_drained_and_has_its_base() -> None:
    found = module_arguments(SHIPMENTS["terraform-finance"])
    assert found["on_demand_base_capacity"] == 1
    commands = "\n".join(found["cloudinit_extra_commands"])
    assert "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true" in commands
    assert "ECS_CONTAINER_STOP_TIMEOUT=60s" in commands
    without = module_arguments(SHIPMENTS["terraform-receipts"])
    assert "SPOT" not in "\n".join(without["cloudinit_extra_commands"])


def test_rules_see_the_values_that_are_written() -> None:
    """One object: what is held against the limits is what stands in main.tf."""
    shipment = SHIPMENTS["terraform-finance"]
    rendered = target_of("terraform").render(shipment)
    assert rendered.extra["module"] == module_call(shipment)
    main = " ".join(rendered.files["main.tf"].split())
    for name, value in module_call(shipment).arguments().items():
        if isinstance(value, int | str):
            assert f"{name} = {json.dumps(value)}" in main


def test_a_long_drain_has_its_time() -> None:
    found = module_arguments(to_terraform(shipments.receipts(), drain_s=600))
    assert "ECS_CONTAINER_STOP_TIMEOUT=600s" in "\n".join(found["cloudinit_extra_commands"])


def test_what_it_scales_on_instead_is_what_there_is() -> None:
    without = to_terraform(shipments.receipts(), gpus=0, engine="openvino")
    warnings = target_of("terraform").render(without).warnings
    assert any("it scales on CPU instead" in one for one in warnings)


def test_nobody_on_the_internet_is_let_in_unless_it_is_said() -> None:
    files = files_of(SHIPMENTS["terraform-receipts"])
    assert "[data.aws_vpc.this.cidr_block]" in files["main.tf"]
    assert "0.0.0.0/0" not in files["main.tf"]
    assert '["198.51.100.0/24"]' in files_of(SHIPMENTS["terraform-finance"])["main.tf"]


def test_secrets_are_named_and_never_written() -> None:
    files = files_of(SHIPMENTS["terraform-finance"])
    assert "PILOTAGE_KEYS" in files["main.tf"]
    assert shipments.TOKEN in files["main.tf"]
    assert shipments.KEYS in files["variables.tf"]
    served = parse(files["spec.yaml"], "spec.yaml")
    assert isinstance(served, Deployment)


def test_the_page_says_what_the_module_leaves_out() -> None:
    page = files_of(SHIPMENTS["terraform-finance"])["README.md"]
    for gap in ("not drained", "percentile", "swap file", "/dev/shm", "terraform validate"):
        assert gap in page


@pytest.mark.parametrize(
    ("shipment", "where"),
    [
        (replace(shipments.captions(), target="terraform"), "shipping.target"),
        (to_terraform(shipments.receipts(), min_replicas=0), "shipping.scaling.min"),
        (to_terraform(shipments.receipts(), instance_type=None), "plan: deployment.instance_type"),
    ],
    ids=["neuron", "zero", "no-instance"],
)
def test_what_the_module_cannot_is_refused(shipment: Shipment, where: str) -> None:
    with pytest.raises(UsageError) as refused:
        target_of("terraform").render(shipment)
    assert refused.value.where == where
    assert refused.value.hint
