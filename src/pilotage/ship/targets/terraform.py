"""A Terraform root module that calls InfraHouse's ECS module with every value computed.

The module's interface, and where it was read: `pilotage.ship.ecs_module`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from pilotage.errors import UsageError
from pilotage.ship.images import (
    container_spec,
    environment,
    image_engine,
    image_name,
    render_image,
)
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets.hcl import Raw, block, document
from pilotage.ship.targets.terraform_module import GPU_TARGET, module_arguments, module_call
from pilotage.ship.targets.terraform_readme import readme

MODULE_SOURCE: Final = "infrahouse/ecs/aws"
MODULE_VERSION: Final = "8.4.0"
TERRAFORM_VERSION: Final = "~> 1.5"
AWS_PROVIDER_VERSION: Final = "~> 6.0"


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
            extra={"image": image, "module": module_call(shipment)},
        )


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


def _warnings(shipment: Shipment) -> tuple[str, ...]:
    metric, found = shipment.shipping.scaling.metric, []
    if metric in ("p90_latency", "queue", "tokens_in_flight"):
        gpus = f"GPU utilisation of {GPU_TARGET} % (and CPU)" if shipment.sizing.gpus else "CPU"
        found.append(f"The module cannot scale on {metric}: it scales on {gpus} instead.")
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
