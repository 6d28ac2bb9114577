"""What an instance does when it starts: joins the cluster, makes room for weights, reports load."""

from __future__ import annotations

import json
from typing import Final

from pilotage.ship.graph import Join, Ref
from pilotage.ship.inside.places import USER_ID
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.names import CLUSTER
from pilotage.ship.targets.ecs.roles import METRICS_NAMESPACE

WEIGHTS_FOLDER: Final = "/var/lib/pilotage"
"""Where an instance keeps weights; tasks on it share them."""
WEIGHTS_DEVICE: Final = "/dev/sdf"
"""The volume for weights where the instance has no disks of its own."""

# ECS's agent waits for cloud-init, and so for this; what the AMI wrote there stays.
_ECS_CONFIG = "/etc/ecs/ecs.config"
_AGENT_CONFIG = "/opt/aws/amazon-cloudwatch-agent/etc/pilotage.json"

_OWN_DISKS = """\
# The instance's own disks: empty at every start, as fast as it gets, and paid for already.
disks=$(ls /dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_* 2>/dev/null \\
  | grep -v -e '-part' -e '_[0-9]$' || true)
devices=$(for disk in $disks; do readlink -f "$disk"; done | sort -u)
count=$(echo "$devices" | grep -c . || true)
if [ "$count" -gt 1 ]; then
  command -v mdadm >/dev/null || dnf install -y mdadm
  # shellcheck disable=SC2086
  mdadm --create /dev/md0 --run --level=0 --raid-devices="$count" $devices
  volume=/dev/md0
else
  volume=$devices
fi
"""

OWN_VOLUME: Final = f"""\
# An encrypted volume of its own, so that weights never fill the system's. Its name is a link that
# not every AMI makes: without it, it is that disk of EBS's on which there is nothing yet.
volume=
for _ in $(seq 60); do
  volume=$(readlink -e {WEIGHTS_DEVICE}) && break
  for disk in $(lsblk -dnrpo NAME,TYPE,MODEL | awk '$2 == "disk" && /Elastic/ {{print $1}}'); do
    [ "$(lsblk -nrpo NAME "$disk" | wc -l)" -eq 1 ] && volume=$disk
  done
  [ -n "$volume" ] && break
  sleep 1
done
"""
"""How the volume for weights is found, bash."""

_MOUNT = f"""\
if [ -n "$volume" ] && [ -e "$volume" ]; then
  blkid "$volume" >/dev/null || mkfs.xfs -q "$volume"
  mkdir -p {WEIGHTS_FOLDER}
  mount -o noatime "$volume" {WEIGHTS_FOLDER}
  # This runs at the first start only; a machine that is started again has it, too.
  id=$(blkid -s UUID -o value "$volume")
  echo "UUID=$id {WEIGHTS_FOLDER} xfs noatime,nofail 0 0" >> /etc/fstab
else
  echo "pilotage: no disk for weights; they go to the root volume" >&2
  mkdir -p {WEIGHTS_FOLDER}
fi
chown {USER_ID}:{USER_ID} {WEIGHTS_FOLDER}
chmod 0750 {WEIGHTS_FOLDER}
"""


def user_data(layout: Layout) -> dict[str, object]:
    """The script, base64 as EC2 wants it."""
    text = "\n".join(
        (
            _ecs_config(layout),
            (_OWN_DISKS if layout.sizing.instance_store else OWN_VOLUME) + _MOUNT,
            _load_reports(layout) if layout.kind == "gpu" else "",
        )
    ).rstrip("\n")
    head = f"#!/bin/bash\nset -uo pipefail\ncat >> {_ECS_CONFIG} <<'END'\nECS_CLUSTER="
    return {"Fn::Base64": Join((head, Ref(CLUSTER), "\n" + text + "\n"))}


def _ecs_config(layout: Layout) -> str:
    lines = [
        "ECS_ENABLE_TASK_IAM_ROLE=true",
        # A container asks for its own role, and never for the machine's.
        "ECS_AWSVPC_BLOCK_IMDS=true",
        f"ECS_CONTAINER_STOP_TIMEOUT={layout.sizing.stop_s}s",
        # Images of engines are tens of gigabytes; pulling and unpacking them takes its time.
        "ECS_CONTAINER_START_TIMEOUT=20m",
        "ECS_IMAGE_PULL_BEHAVIOR=prefer-cached",
        "ECS_IMAGE_PULL_INACTIVITY_TIMEOUT=10m",
        'ECS_AVAILABLE_LOGGING_DRIVERS=["json-file","awslogs"]',
    ]
    if layout.kind == "gpu":
        lines.append("ECS_ENABLE_GPU_SUPPORT=true")
    if layout.spot:
        lines.append("ECS_ENABLE_SPOT_INSTANCE_DRAINING=true")
    return "\n".join((*lines, "END"))


def _load_reports(layout: Layout) -> str:
    """The CloudWatch agent on the machine itself, where nvidia-smi is.

    Its container image is made from nothing: it has no nvidia-smi and no C library to run the
    driver's, so a daemon service of it would report no GPU at all.
    """
    config = json.dumps(agent_config(layout), indent=2)
    return f"""
# Load of the GPUs. A machine that cannot report it serves all the same.
if dnf install -y amazon-cloudwatch-agent; then
  cat > {_AGENT_CONFIG} <<'END'
{config}
END
  /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl \\
    -a fetch-config -m ec2 -s -c file:{_AGENT_CONFIG}
fi || echo "pilotage: the load of the GPUs is not reported" >&2
"""


def agent_config(layout: Layout) -> dict[str, object]:
    """What the agent of a machine publishes, under the deployment's name alone."""
    return {
        "agent": {"metrics_collection_interval": 60, "run_as_user": "root"},
        "metrics": {
            "namespace": METRICS_NAMESPACE,
            "aggregation_dimensions": [["Deployment"]],
            "metrics_collected": {
                "nvidia_gpu": {
                    "measurement": ["utilization_gpu", "memory_used", "memory_total"],
                    "append_dimensions": {"Deployment": layout.deployment},
                }
            },
        },
    }
