"""The weights on the hosts of a service: what each task's log says that it found or fetched.

The entrypoint writes one line once the fetch has verified every byte (`fetch_then_serve`). Reading
it takes the right to read logs, which ``logs`` needs anyway; a look at the host itself would take
Systems Manager's agent there, and the right to run commands as root on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pilotage.ship.inside.places import WEIGHTS_LOGGER
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.service import EcsService
from pilotage.units import format_size, printable


def weights_on_hosts(
    aws: Aws, service: EcsService, groups: Sequence[str], *, container: str
) -> tuple[str, ...]:
    """A sentence for each task that runs: which files lie on its host, and how many bytes.

    Args:
        aws: Where.
        service: Whose tasks.
        groups: Log groups of the stack.
        container: The server's name, by which its log streams are named.

    Raises:
        PilotageError: AWS cannot be asked.
    """
    tasks = list(
        aws.pages(
            "ecs",
            "list_tasks",
            "taskArns",
            cluster=service.cluster,
            serviceName=service.name,
            desiredStatus="RUNNING",
        )
    )
    if not tasks:
        return ("no task runs",)
    return tuple(
        _said(aws, groups, container, str(arn).rpartition("/")[2]) for arn in sorted(tasks)
    )


def _said(aws: Aws, groups: Sequence[str], container: str, task: str) -> str:
    stream = f"{container}/{container}/{task}"
    for group in groups:
        if _has(aws, group, stream):
            events = aws.pages(
                "logs",
                "filter_log_events",
                "events",
                logGroupName=group,
                logStreamNames=[stream],
                filterPattern=f'"{WEIGHTS_LOGGER}"',
            )
            for event in events:
                if (line := _line(str(event.get("message", "")))) is not None:
                    return f"task {task}: {line}"
    return f"task {task}: its log does not say (yet) what was fetched"


def _has(aws: Aws, group: str, stream: str) -> bool:
    found = aws.try_call(
        "logs",
        "describe_log_streams",
        "ResourceNotFoundException",
        logGroupName=group,
        logStreamNamePrefix=stream,
    )
    return any(one.get("logStreamName") == stream for one in (found or {}).get("logStreams") or ())


def _line(text: str) -> str | None:
    try:
        told: Any = json.loads(text)
    except ValueError:
        return None
    if not isinstance(told, dict) or told.get("logger") != WEIGHTS_LOGGER:
        return None
    size, files = told.get("bytes"), told.get("files")
    if not isinstance(size, int) or not isinstance(files, int):
        return None
    shown = format_size(size, digits=3)
    return f"{shown} in {files} file(s), verified, at {printable(str(told.get('path')))}"
