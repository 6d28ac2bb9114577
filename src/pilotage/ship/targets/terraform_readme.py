"""The page beside the root module: how to use it, and what the module leaves out."""

from __future__ import annotations

from collections.abc import Sequence

from pilotage.ship.images import ImageFiles
from pilotage.ship.target import Shipment


def readme(shipment: Shipment, *, warnings: Sequence[str], image: ImageFiles | None) -> str:
    """The page, Markdown.

    Args:
        shipment: What is shipped.
        warnings: What is dangerous, or not done as asked for.
        image: What is built; None where it exists.
    """
    steps = "\n".join(
        (
            *(image.commands if image else ()),
            "terraform init",
            "terraform plan -out plan.out",
            "terraform apply plan.out",
        )
    )
    return f"""\
# {shipment.deployment.name}: Terraform

A root module that calls InfraHouse's ECS module with the values that Pilotage computed. The
variables without a default are yours to give.

```sh
{steps}
```

To take it away: `terraform destroy`. It can hang while the capacity provider still holds instances;
then set the service's desired count to zero (`aws ecs update-service --desired-count 0`) and go on.

## What the module leaves out

- Spot instances are not drained. Here the agent's ECS_ENABLE_SPOT_INSTANCE_DRAINING is set by a
  command at the instance's start.
- It does not scale on a percentile of the latency, on a queue or on tokens in flight: only on CPU,
  memory, requests and, with GPUs, on their utilisation.
- A stopped container has 30 s. Here the agent's ECS_CONTAINER_STOP_TIMEOUT is set likewise.
- Its swap file takes twice the memory on the root volume, which is that much larger here.
- Weights lie in /var/models on the root volume, not on a volume of their own or the instance's
  NVMe disks.
- It sets neither /dev/shm nor a read-only root, nor the user: the image's own is not root.
- No alarms for rejected requests, idle GPUs or spend.

The target `ecs` has all of these.

## Warnings

{_list(warnings)}

## Not checked

`terraform fmt -check` was. `terraform validate` needs the module and the AWS provider, which
`terraform init` downloads: the arguments' names and types were compared with the module's
variables as they stood after version 8.4.0. The commands at an instance's start were never run on
one: they rest on the agent reading /etc/ecs/ecs.config after cloud-init.

## Numbers

{_list(shipment.sizing.notes)}
"""


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or "None."
