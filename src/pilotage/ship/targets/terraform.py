"""A Terraform root module that calls InfraHouse's ECS module with every value computed.

Source of the module's interface: its ``variables.tf`` after version 8.4.0
(github.com/infrahouse/terraform-aws-ecs, Apache-2.0, read 2026-11-22).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from pilotage.catalog.instances import load_instances
from pilotage.errors import UsageError
from pilotage.ship.images import (
    container_spec,
    environment,
    image_engine,
    image_name,
    render_image,
)
from pilotage.ship.inside.places import HEALTH_CHECK, MODELS, USER_ID
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets.hcl import Raw, block, document
from pilotage.ship.targets.terraform_readme import readme

MODULE_SOURCE: Final = "infrahouse/ecs/aws"
MODULE_VERSION: Final = "8.4.0"
TERRAFORM_VERSION: Final = "~> 1.5"
AWS_PROVIDER_VERSION: Final = "~> 6.0"

_HOST_FOLDER: Final = "/var/models"
_GPU_TARGET: Final = 60
_DEFAULT_STOP_S: Final = 30
_SWAP_TIMES: Final = 2
"""The module makes a swap file of twice the memory on the root volume."""
_RETENTION_DAYS: Final = 90
_LONGEST_IDLE_S: Final = 4000
"""Of an application load balancer."""


class TerraformTarget:
    """The root module; see `pilotage.ship.target.Target`."""

    def render(self, shipment: Shipment) -> Rendered:
        """All files of the root module, and the image's Dockerfile.

        Raises:
            UsageError: The module cannot run it: Neuron devices, no instance type, zero replicas.
        """
        _check(shipment)
        image = render_image(shipment)
        warnings = (*_warnings(shipment), *(image.warnings if image else ()))
        files = {
            "versions.tf": _versions(shipment),
            "variables.tf": _variables(shipment),
            "main.tf": _main(shipment),
            "outputs.tf": _outputs(),
            "spec.yaml": container_spec(shipment),
            **(image.files if image else {}),
        }
        files["README.md"] = readme(shipment, warnings=warnings, image=image)
        return Rendered(
            files=files,
            notes=(
                f"Module {MODULE_SOURCE} {MODULE_VERSION}: what it leaves out is in README.md.",
                *(image.notes if image else ()),
            ),
            warnings=warnings,
            extra={"image": image},
        )


def module_arguments(shipment: Shipment) -> dict[str, Any]:
    """The arguments of the module's call: Python values, and `Raw` expressions."""
    sizing, shipping = shipment.sizing, shipment.shipping
    spare = shipping.rollout == "spare"
    per_instance = max(1, sizing.tasks_per_instance)
    # A start-first rollout needs room for one task more than there may be.
    hosts = math.ceil((sizing.max_replicas + int(spare)) / per_instance)
    found: dict[str, Any] = {
        "service_name": shipment.name,
        "environment": Raw("var.environment"),
        "docker_image": Raw("var.docker_image"),
        "tags": dict(shipment.tags),
        # Network.
        "asg_subnets": Raw("var.asg_subnets"),
        "load_balancer_subnets": Raw("var.load_balancer_subnets"),
        "alb_ingress_cidr_blocks": _cidrs(shipment),
        "zone_id": Raw("var.zone_id"),
        "dns_names": Raw("var.dns_names"),
        "replication_region": Raw("var.replication_region"),
        "idle_timeout": _idle_s(shipment),
        "load_balancing_algorithm_type": "least_outstanding_requests",
        # Instances.
        "asg_instance_type": sizing.instance_type,
        "asg_min_size": math.ceil(sizing.min_replicas / per_instance),
        "asg_max_size": hosts,
        "asg_health_check_grace_period": sizing.grace_s,
        "root_volume_size": _root_gib(shipment),
        "gpu_count": sizing.gpus,
        **_spot(shipment),
        "cloudinit_extra_commands": _host_commands(shipment),
        # Tasks.
        "task_desired_count": sizing.desired,
        "task_min_count": sizing.min_replicas,
        "task_max_count": sizing.max_replicas,
        "container_port": sizing.port,
        "container_cpu": sizing.task_cpu,
        "container_memory": sizing.task_memory_mib,
        "container_command": list(sizing.arguments),
        "task_environment_variables": Raw("local.environment"),
        "task_secrets": Raw("local.secrets"),
        "task_local_volumes": {
            "models": {"host_path": _HOST_FOLDER, "container_path": MODELS},
        },
        "task_role_arn": Raw("var.task_role_arn"),
        "execution_extra_policy": Raw("var.execution_extra_policy"),
        "dockerSecurityOptions": ["no-new-privileges"],
        **({"task_ipc_mode": "host"} if sizing.shm_mib else {}),
        # Health: words without spaces, which its shell leaves alone.
        "service_health_check_grace_period_seconds": sizing.grace_s,
        "healthcheck_path": sizing.health_path,
        "healthcheck_interval": 15,
        "healthcheck_timeout": 5,
        "container_healthcheck_command": " ".join(HEALTH_CHECK),
        # Rollout and scaling.
        "enable_deployment_circuit_breaker": True,
        "deployment_minimum_healthy_percent": 100 if spare else 0,
        "deployment_maximum_percent": 200 if spare else 100,
        **_scaling(shipment),
        # Watching.
        "alarm_emails": Raw("var.alarm_emails"),
        "enable_cloudwatch_logs": True,
        "cloudwatch_log_group_retention": _RETENTION_DAYS,
        "enable_container_insights": True,
    }
    if shipping.alarms.topic_arn is not None:
        found["sns_topic_arn"] = shipping.alarms.topic_arn
    return found


def _check(shipment: Shipment) -> None:
    sizing = shipment.sizing
    if sizing.instance_type is None:
        raise UsageError(
            "the module runs on instances, and none is chosen",
            where="plan: deployment.instance_type",
            hint="Plan with --strategy ecs-gpu",
        )
    if sizing.neuron_devices:
        raise UsageError(
            "InfraHouse's module gives a container no Neuron devices",
            where="shipping.target",
            hint="Ship to ecs, whose task definition lists them",
        )
    if sizing.min_replicas < 1:
        raise UsageError(
            "InfraHouse's module keeps one task at least",
            where="shipping.scaling.min",
            hint="Take 1, or the target kubernetes or sagemaker-async, which go to zero",
        )


def _main(shipment: Shipment) -> str:
    arguments = module_arguments(shipment)
    variables = {
        **environment(image_engine(shipment)),
        "PILOTAGE_PORT": str(shipment.sizing.port),
        "PILOTAGE_HEALTH_PATH": shipment.sizing.health_path,
    }
    secrets: list[dict[str, object]] = [
        {"name": "PILOTAGE_KEYS", "valueFrom": Raw("var.keys_secret_arn")}
    ]
    if shipment.shipping.hub_token_secret_arn is not None:
        token = shipment.shipping.hub_token_secret_arn
        secrets.append({"name": "HF_TOKEN", "valueFrom": token})
    listed: list[dict[str, object]] = [
        {"name": name, "value": value} for name, value in sorted(variables.items())
    ]
    listed.append({"name": "PILOTAGE_SPEC_YAML", "value": Raw('file("${path.module}/spec.yaml")')})
    blocks = [block("locals", (), {"environment": listed, "secrets": secrets})]
    if not shipment.shipping.network.allowed_cidrs:
        blocks += [
            block("data", ("aws_subnet", "first"), {"id": Raw("var.load_balancer_subnets[0]")}),
            block("data", ("aws_vpc", "this"), {"id": Raw("data.aws_subnet.first.vpc_id")}),
        ]
    blocks.append(
        block(
            "module",
            ("service",),
            {
                "source": MODULE_SOURCE,
                "version": MODULE_VERSION,
                "providers": Raw("{\n    aws     = aws\n    aws.dns = aws\n  }"),
                **arguments,
            },
        )
    )
    return document(blocks)


def _versions(shipment: Shipment) -> str:
    return document(
        [
            "terraform {\n"
            f'  required_version = "{TERRAFORM_VERSION}"\n\n'
            "  required_providers {\n    aws = {\n"
            '      source  = "hashicorp/aws"\n'
            f'      version = "{AWS_PROVIDER_VERSION}"\n'
            "    }\n  }\n}",
            'provider "aws" {\n'
            f'  region = "{shipment.shipping.region}"\n'
            + (
                f'\n  allowed_account_ids = ["{shipment.shipping.account}"]\n'
                if shipment.shipping.account
                else ""
            )
            + "}",
        ]
    )


def _variables(shipment: Shipment) -> str:
    shipping = shipment.shipping
    balancers = shipping.network.load_balancer_subnets or shipping.network.subnets
    image = shipping.image.uri or (image_name(shipment) if shipping.account else None)
    rows: list[tuple[str, str, str, object]] = [
        ("environment", "string", "Name of the environment.", "production"),
        ("docker_image", "string", "Image of the server, best with a digest.", image),
        (
            "asg_subnets",
            "list(string)",
            "Subnets of the instances, in two zones.",
            list(shipping.network.subnets) or None,
        ),
        (
            "load_balancer_subnets",
            "list(string)",
            "Subnets of the load balancer.",
            list(balancers) or None,
        ),
        ("zone_id", "string", "Route 53 zone: the module makes name and certificate in it.", None),
        ("dns_names", "list(string)", "Names in that zone.", [shipment.deployment.name]),
        ("alarm_emails", "list(string)", "Who is told of alarms.", None),
        ("replication_region", "string", "Region of the access log's copy.", None),
        (
            "keys_secret_arn",
            "string",
            "Secret with the file of API-key hashes.",
            shipping.keys_secret_arn,
        ),
    ]
    blocks = [
        block(
            "variable",
            (name,),
            {
                "description": description,
                "type": Raw(kind),
                **({} if default is None else {"default": default}),
            },
        )
        for name, kind, description, default in rows
    ]
    blocks += [
        block(
            "variable",
            ("task_role_arn",),
            {
                "description": "Role of the server, such as to read weights from S3.",
                "type": Raw("string"),
                "default": Raw("null"),
            },
        ),
        block(
            "variable",
            ("execution_extra_policy",),
            {
                "description": "Policies of the execution role by name: to read the secrets.",
                "type": Raw("map(string)"),
                "default": {},
            },
        ),
    ]
    return document(blocks)


def _outputs() -> str:
    names: Mapping[str, str] = {
        "hostnames": "dns_hostnames",
        "cluster": "cluster_name",
        "log_group": "cloudwatch_log_group_name",
        "scaling_group": "asg_name",
    }
    return document(
        [
            block("output", (name,), {"value": Raw(f"module.service.{attribute}")})
            for name, attribute in names.items()
        ]
    )


def _cidrs(shipment: Shipment) -> object:
    """Closed unless said otherwise: the module's own default lets everybody in."""
    given = list(shipment.shipping.network.allowed_cidrs)
    return given or Raw("[data.aws_vpc.this.cidr_block]")


def _idle_s(shipment: Shipment) -> int:
    """Longer than a request may take, so that it is the server that gives up, and says why."""
    return min(_LONGEST_IDLE_S, math.ceil(shipment.deployment.serving.request_timeout) + 30)


def _root_gib(shipment: Shipment) -> int:
    """System, image, swap and, as the module has no volume for them, the weights."""
    instance = load_instances().get(shipment.sizing.instance_type or "")
    memory = instance.memory_bytes if instance else shipment.sizing.task_memory_mib << 20
    memory_gib = math.ceil(memory / (1 << 30))
    return shipment.sizing.root_gib + shipment.sizing.weights_gib + _SWAP_TIMES * memory_gib


def _spot(shipment: Shipment) -> dict[str, object]:
    scaling = shipment.shipping.scaling
    if scaling.spot_share <= 0:
        return {}
    return {"on_demand_base_capacity": scaling.on_demand_base}


def _host_commands(shipment: Shipment) -> list[str]:
    """What the module leaves out of an instance's start."""
    stop = max(_DEFAULT_STOP_S, shipment.sizing.stop_s)
    commands = [
        # Docker would make it root's, and the server is not root.
        f"install -d -o {USER_ID} -g {USER_ID} -m 0750 {_HOST_FOLDER}",
        f"echo ECS_CONTAINER_STOP_TIMEOUT={stop}s >> /etc/ecs/ecs.config",
    ]
    if shipment.shipping.scaling.spot_share > 0:
        commands.append("echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config")
    return commands


def _scaling(shipment: Shipment) -> dict[str, object]:
    scaling = shipment.shipping.scaling
    found: dict[str, object] = {}
    if shipment.sizing.gpus:
        given = scaling.target if scaling.metric == "gpu" else None
        found["gpu_autoscaling_target"] = _GPU_TARGET if given is None else round(given)
    if scaling.metric == "requests":
        found["autoscaling_metric"] = "ALBRequestCountPerTarget"
        found["autoscaling_target"] = round(scaling.target or _requests(shipment))
    return found


def _requests(shipment: Shipment) -> float:
    plan = shipment.plan
    carried = (plan.predictions.requests_per_s or plan.predictions.rate) if plan else 1.0
    return max(1.0, 60 * 0.8 * carried / max(1, shipment.sizing.desired))


def _warnings(shipment: Shipment) -> tuple[str, ...]:
    metric, found = shipment.shipping.scaling.metric, []
    if metric in ("p90_latency", "queue", "tokens_in_flight"):
        found.append(
            f"The module cannot scale on {metric}: it scales on GPU utilisation of "
            f"{_GPU_TARGET} % instead (and on CPU)."
        )
    if shipment.sizing.shm_mib:
        found.append(
            f"The module sets no /dev/shm; {json.dumps(shipment.sizing.gpus)} GPUs need "
            f"{shipment.sizing.shm_mib} MiB of it, so the task shares the instance's IPC "
            "namespace (task_ipc_mode host). The target ecs needs no such thing."
        )
    if shipment.shipping.network.certificate_arn is not None:
        found.append("shipping.network.certificate_arn is not used: the module makes its own.")
    if shipment.sizing.instance_store:
        found.append(
            "The instance's NVMe disks are not used: weights lie on the root volume, which loads "
            "more slowly than what was predicted."
        )
    return tuple(found)
