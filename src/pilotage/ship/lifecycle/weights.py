"""The weights on the hosts of a service, looked at through Systems Manager where it is there."""

from __future__ import annotations

import shlex
from typing import Any, Final

from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.aws_errors import DeniedError
from pilotage.ship.lifecycle.service import EcsService
from pilotage.ship.lifecycle.waiting import Waiting
from pilotage.units import format_size, printable

_RUNNING: Final = frozenset({"Pending", "InProgress", "Delayed"})
_NOT_MANAGED: Final = ("InvalidInstanceId", "UnsupportedPlatformType")


def weights_on_hosts(aws: Aws, service: EcsService, *, waiting: Waiting) -> tuple[str, ...]:
    """A sentence for each host: how much lies in the folder of weights.

    Raises:
        PilotageError: AWS cannot be asked.
    """
    folder = _folder(aws, service)
    hosts = _hosts(aws, service)
    if folder is None or not hosts:
        return ("no host holds weights",)
    try:
        sent = aws.try_call(
            "ssm",
            "send_command",
            *_NOT_MANAGED,
            InstanceIds=hosts,
            DocumentName="AWS-RunShellScript",
            Parameters={"commands": [f"du -sb -- {shlex.quote(folder)}"]},
        )
    except DeniedError:
        sent = None
    if sent is None:
        return ("not looked at: Systems Manager may not run commands on the hosts",)
    command = str(sent["Command"]["CommandId"])
    return tuple(_said(aws, command, host, folder, waiting=waiting) for host in hosts)


def _folder(aws: Aws, service: EcsService) -> str | None:
    told = service.describe() or {}
    if not told.get("taskDefinition"):
        return None
    answer = aws.call("ecs", "describe_task_definition", taskDefinition=told["taskDefinition"])
    for one in answer["taskDefinition"].get("volumes") or ():
        path = (one.get("host") or {}).get("sourcePath")
        if path:
            return str(path)
    return None


def _hosts(aws: Aws, service: EcsService) -> list[str]:
    arns = list(
        aws.pages("ecs", "list_container_instances", "containerInstanceArns",
                  cluster=service.cluster)
    )[:50]  # fmt: skip
    if not arns:
        return []
    answer = aws.call(
        "ecs", "describe_container_instances", cluster=service.cluster, containerInstances=arns
    )
    return [str(one["ec2InstanceId"]) for one in answer.get("containerInstances") or ()]


def _said(aws: Aws, command: str, host: str, folder: str, *, waiting: Waiting) -> str:
    told: dict[str, Any] | None = None
    for _ in waiting.rounds(f"the look at {host}"):
        told = aws.try_call(
            "ssm", "get_command_invocation", "InvocationDoesNotExist",
            CommandId=command, InstanceId=host,
        )  # fmt: skip
        if told is not None and told.get("Status") not in _RUNNING:
            break
    size = str((told or {}).get("StandardOutputContent") or "").split("\t")[0].strip()
    if size.isdigit():
        return f"{host}: {format_size(int(size), digits=3)} in {folder}"
    reason = printable(str((told or {}).get("StandardErrorContent") or "no answer").strip())
    return f"{host}: {folder} could not be looked at: {reason}"
