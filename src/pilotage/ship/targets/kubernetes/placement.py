"""On which nodes pods run: the planned instance type, its accelerators' taint, spot or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.names import selector

_INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"
_SPOT_LABELS: Final = (
    ("karpenter.sh/capacity-type", "spot"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
)
"""How Karpenter and EKS's managed node groups mark a spot node."""

GPU: Final = "nvidia.com/gpu"
NEURON: Final = "aws.amazon.com/neuron"


def accelerators(shipment: Shipment) -> dict[str, str]:
    """The extended resource of a pod, as a quantity; empty on CPUs.

    Names are those of NVIDIA's and AWS's device plugins; a request must equal its limit.
    """
    sizing = shipment.sizing
    if sizing.gpus:
        return {GPU: str(sizing.gpus)}
    if sizing.neuron_devices:
        return {NEURON: str(sizing.neuron_devices)}
    return {}


def placement(shipment: Shipment, pods: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Fields of a pod that say where it goes.

    Args:
        shipment: What is shipped.
        pods: Labels by which its pods are found, where others make them.
    """
    sizing = shipment.sizing
    found: dict[str, Any] = {}
    if sizing.instance_type is not None:
        found["nodeSelector"] = {_INSTANCE_TYPE: sizing.instance_type}
    found["affinity"] = {"nodeAffinity": _capacity(shipment)}
    found["tolerations"] = [
        {"key": name, "operator": "Exists", "effect": "NoSchedule"}
        for name in accelerators(shipment)
    ]
    found["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": key,
            # A zone without such instances must not keep the model down.
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": dict(pods or selector(shipment))},
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]
    return {key: value for key, value in found.items() if value}


def _capacity(shipment: Shipment) -> dict[str, Any]:
    """Spot by preference with the weight of its share, or never."""
    share = shipment.shipping.scaling.spot_share
    if share <= 0:
        expressions = [
            {"key": key, "operator": "NotIn", "values": [value]} for key, value in _SPOT_LABELS
        ]
        return {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": expressions}]
            }
        }
    return {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": max(1, round(100 * share)),
                "preference": {
                    "matchExpressions": [{"key": key, "operator": "In", "values": [value]}]
                },
            }
            for key, value in _SPOT_LABELS
        ]
    }
