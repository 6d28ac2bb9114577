"""Where weights lie, so that they are fetched once.

Three cases, each with what it costs:

* the instance has NVMe disks: a folder of the node, which its pods share and which outlives them;
* one replica that is taken down before the next starts: a claim of its own;
* else a volume that belongs to each pod: claims that one node alone may mount would keep the new
  pod of a rolling update from starting, and claims that many nodes may mount (NFS) load slowly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.names import Manifest, labels, manifest, object_name

NODE_FOLDER: Final = "/mnt/k8s-disks/0/pilotage"
"""On the array that EKS's AL2023 and Bottlerocket nodes make of their NVMe disks with
``localStorage.strategy: RAID0`` (EKS NodeConfig)."""

VOLUME: Final = "models"

StorageKind = Literal["node", "claim", "pod"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The weights' volume.

    Attributes:
        kind: Which of the three.
        volume: As a pod has it.
        claims: Objects to be made beside it.
        note: What a reviewer should know.
    """

    kind: StorageKind
    volume: dict[str, Any]
    claims: tuple[Manifest, ...]
    note: str


def storage(shipment: Shipment) -> Storage:
    """The volume that fits the instance and the rollout."""
    sizing = shipment.sizing
    if sizing.instance_store:
        return Storage(
            kind="node",
            volume={
                "name": VOLUME,
                "hostPath": {"path": NODE_FOLDER, "type": "DirectoryOrCreate"},
            },
            claims=(),
            note=f"Weights lie on the node's NVMe disks in {NODE_FOLDER}, shared by its pods; the "
            "folder is handed to the server's user by an init container that is root with CHOWN "
            'alone. Pod Security Standards "baseline" and "restricted" forbid hostPath: the '
            'namespace needs "privileged", or an exemption.',
        )
    if sizing.max_replicas == 1 and shipment.shipping.rollout == "downtime":
        return Storage(
            kind="claim",
            volume={
                "name": VOLUME,
                "persistentVolumeClaim": {"claimName": object_name(shipment, "-models")},
            },
            claims=(
                manifest(
                    shipment,
                    "v1",
                    "PersistentVolumeClaim",
                    suffix="-models",
                    spec=_claim(sizing.weights_gib),
                ),
            ),
            note=f"Weights lie on a claim of {sizing.weights_gib} GiB that outlives the pod, of "
            "the cluster's default storage class.",
        )
    return Storage(
        kind="pod",
        volume={
            "name": VOLUME,
            "ephemeral": {
                "volumeClaimTemplate": {
                    "metadata": {"labels": labels(shipment)},
                    "spec": _claim(sizing.weights_gib),
                }
            },
        },
        claims=(),
        note=f"Each pod fetches the weights once, to a volume of {sizing.weights_gib} GiB of its "
        "own (the cluster's default storage class), which goes with it.",
    )


def _claim(gib: int) -> dict[str, Any]:
    return {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{gib}Gi"}},
    }
