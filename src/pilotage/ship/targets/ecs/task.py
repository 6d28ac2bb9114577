"""The task: one replica of the server, with its accelerators, weights and secrets."""

from __future__ import annotations

from typing import Any, Final

from pilotage.ship.graph import Attribute, Ref, Resource
from pilotage.ship.images.container import container_spec, image_engine
from pilotage.ship.images.container import environment as container_environment
from pilotage.ship.inside.places import MODELS, USER_ID
from pilotage.ship.stopping import ECS_STOP_TIMEOUT
from pilotage.ship.targets.ecs.image import Image
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.names import EXECUTION_ROLE, LOGS, TASK_DEFINITION, TASK_ROLE
from pilotage.ship.targets.ecs.secrets import Secrets
from pilotage.ship.targets.ecs.user_data import WEIGHTS_FOLDER

CONTAINER: Final = "server"
SPEC_VARIABLE: Final = "PILOTAGE_SPEC_YAML"
"""The spec's text in the container's environment: a change of it is a change one can review, and
needs no new image."""

LONGEST_START_PERIOD_S: Final = 300
"""ECS's bound for a container's startPeriod; a longer load is the service's grace."""

_TMP_MIB = 2048

# No curl in engines' images; localhost may be ::1 where the server listens on IPv4 only. Alive
# only: whether a model answers is the load balancer's question, and no reason to kill a container.
_CHECK = (
    "import sys, urllib.request as r; "
    "sys.exit(r.urlopen('http://127.0.0.1:{port}/health/live', timeout=4).status != 200)"
)


def task(layout: Layout, image: Image, secrets: Secrets) -> Resource:
    """The task definition."""
    sizing = layout.sizing
    return Resource(
        name=TASK_DEFINITION,
        type="AWS::ECS::TaskDefinition",
        properties={
            "Family": layout.name,
            "RequiresCompatibilities": ["EC2"],
            "NetworkMode": "awsvpc",
            "Cpu": str(sizing.task_cpu),
            "Memory": str(sizing.task_memory_mib),
            "ExecutionRoleArn": Attribute(EXECUTION_ROLE, "Arn"),
            "TaskRoleArn": Attribute(TASK_ROLE, "Arn"),
            "ContainerDefinitions": [_container(layout, image, secrets)],
            "Volumes": [{"Name": "weights", "Host": {"SourcePath": WEIGHTS_FOLDER}}],
        },
    )


def environment(layout: Layout) -> dict[str, str]:
    """Variables of the container that are no secrets."""
    return {
        SPEC_VARIABLE: container_spec(layout.shipment),
        **container_environment(image_engine(layout.shipment)),
        # Engines keep compiled kernels here: beside the weights they outlive a container.
        "XDG_CACHE_HOME": f"{MODELS}/cache",
    }


def _container(layout: Layout, image: Image, secrets: Secrets) -> dict[str, Any]:
    sizing = layout.sizing
    container: dict[str, Any] = {
        "Name": CONTAINER,
        "Image": image.uri,
        "Essential": True,
        "Cpu": sizing.task_cpu,
        "Memory": sizing.task_memory_mib,
        "User": f"{USER_ID}:{USER_ID}",
        "ReadonlyRootFilesystem": True,
        "Privileged": False,
        # What is longer the agent gives: ECS_CONTAINER_STOP_TIMEOUT in the user data.
        **({"StopTimeout": sizing.stop_s} if sizing.stop_s <= ECS_STOP_TIMEOUT else {}),
        "PortMappings": [{"ContainerPort": sizing.port, "Protocol": "tcp"}],
        "Environment": [
            {"Name": name, "Value": value} for name, value in environment(layout).items()
        ],
        "Secrets": [{"Name": name, "ValueFrom": arn} for name, arn in secrets.variables.items()],
        "MountPoints": [{"SourceVolume": "weights", "ContainerPath": MODELS, "ReadOnly": False}],
        "LinuxParameters": _linux(layout),
        "Ulimits": [
            # Accelerators pin memory, and a server holds a socket a request.
            {"Name": "memlock", "SoftLimit": -1, "HardLimit": -1},
            {"Name": "nofile", "SoftLimit": 65536, "HardLimit": 65536},
        ],
        "LogConfiguration": {
            "LogDriver": "awslogs",
            "Options": {
                "awslogs-group": Ref(LOGS),
                "awslogs-region": Ref("AWS::Region"),
                "awslogs-stream-prefix": CONTAINER,
                # A slow log never stops an answer.
                "mode": "non-blocking",
                "max-buffer-size": "16m",
            },
        },
        "HealthCheck": {
            "Command": ["CMD", "python3", "-c", _CHECK.format(port=sizing.port)],
            "Interval": 30,
            "Timeout": 5,
            "Retries": 5,
            "StartPeriod": min(LONGEST_START_PERIOD_S, sizing.grace_s),
        },
    }
    if sizing.arguments:
        container["Command"] = list(sizing.arguments)
    if sizing.gpus:
        container["ResourceRequirements"] = [{"Type": "GPU", "Value": str(sizing.gpus)}]
    return container


def _linux(layout: Layout) -> dict[str, Any]:
    sizing = layout.sizing
    linux: dict[str, Any] = {
        "InitProcessEnabled": True,
        "Capabilities": {"Drop": ["ALL"]},
        "Tmpfs": [
            {
                "ContainerPath": "/tmp",  # noqa: S108  the container's own
                "Size": _TMP_MIB,
                # Engines compile kernels there and load them.
                "MountOptions": ["rw", "exec", "nosuid", "nodev"],
            }
        ],
    }
    if sizing.shm_mib:
        linux["SharedMemorySize"] = sizing.shm_mib
    if sizing.neuron_devices:
        linux["Devices"] = [
            {
                "HostPath": f"/dev/neuron{number}",
                "ContainerPath": f"/dev/neuron{number}",
                "Permissions": ["read", "write"],
            }
            for number in range(sizing.neuron_devices)
        ]
    return linux
