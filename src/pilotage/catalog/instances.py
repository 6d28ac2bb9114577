"""EC2 instance types: what each has and what it costs.

The table is ``data/aws_instances.csv``; `PRICES_ON` is the day of its prices. Prices change: a plan
that is made of them says so.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from pilotage.catalog.neuron_chips import NeuronChipModel, chip_model

SOURCE: Final = "karpenter-provider-aws (Apache-2.0)"
PRICES_ON: Final = "2026-07-20"
PRICE_REGION: Final = "us-east-1"

_MIB = 1 << 20
_GB = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerators:
    """The accelerators of an instance, all alike.

    Attributes:
        name: Such as ``a10g`` or ``inferentia2``.
        count: How many; Neuron chips, not cores. A share of a GPU is one.
        memory_bytes: Of each; for some large GPUs nominal, a few per cent above what CUDA sees.
    """

    name: str
    count: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance type.

    Attributes:
        name: Such as ``g5.2xlarge``.
        architecture: ``amd64`` or ``arm64``.
        vcpus: Logical CPUs.
        memory_bytes: Main memory.
        network_mbps: Network bandwidth that can be sustained, megabits a second.
        ebs_mbps: Bandwidth to EBS volumes, megabits a second.
        nvme_bytes: Local disks; 0 without any.
        accelerator: None without any.
        usd_per_hour: On-demand price, see `PRICES_ON` and `PRICE_REGION`; None where not known,
            never 0.
    """

    name: str
    architecture: str
    vcpus: int
    memory_bytes: int
    network_mbps: int
    ebs_mbps: int
    nvme_bytes: int = 0
    accelerator: Accelerators | None = None
    usd_per_hour: float | None = None

    @property
    def family(self) -> str:
        """``g5`` of ``g5.2xlarge``."""
        return self.name.partition(".")[0]

    @property
    def neuron_chip(self) -> NeuronChipModel | None:
        """The model of its Neuron chips, if it has such."""
        return chip_model(self.accelerator.name) if self.accelerator else None

    @property
    def neuron_cores(self) -> int:
        """NeuronCores, as the runtime counts them; 0 without any."""
        chip = self.neuron_chip
        return chip.visible_cores * self.accelerator.count if chip and self.accelerator else 0


@cache
def load_instances() -> Mapping[str, Instance]:
    """Every instance type of the table, by its name."""
    text = (files("pilotage.catalog") / "data" / "aws_instances.csv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines())
    return MappingProxyType({row["instance_type"]: _instance(row) for row in rows})


def models_that_fit(
    instance: Instance, model_bytes: int, *, headroom: float = 0.2, devices: int = 1
) -> int:
    """How many copies of a model an instance can hold.

    Each copy has ``devices`` accelerators (Neuron: chips) to itself or shares them with other
    copies; without accelerators all share the main memory. What a copy needs besides its weights
    (KV cache, activations, runtime) is ``headroom``, a share of the memory that stays free: a first
    sieve, the planner computes it.

    Args:
        instance: The instance.
        model_bytes: Weights as they are in memory.
        headroom: Share of the memory that weights may not take, 0 to 1.
        devices: Accelerators that one copy is spread over.
    """
    if model_bytes <= 0 or devices <= 0 or not 0 <= headroom < 1:
        raise ValueError("model_bytes and devices should be above 0, headroom from 0 to below 1")
    if instance.accelerator is None:
        return int(instance.memory_bytes * (1 - headroom) // model_bytes)
    groups = instance.accelerator.count // devices
    return groups * int(devices * instance.accelerator.memory_bytes * (1 - headroom) // model_bytes)


def _instance(row: Mapping[str, str]) -> Instance:
    name = row["accelerator"]
    accelerator = None
    if name:
        chip = chip_model(name)
        memory = chip.memory_bytes if chip else int(row["accelerator_memory_mib"] or 0) * _MIB
        # Shares of a GPU (g6f) are "0" in the table, with the share's memory: one small device.
        count = int(row["accelerators"]) or 1
        accelerator = Accelerators(name=name, count=count, memory_bytes=memory)
    return Instance(
        name=row["instance_type"],
        architecture=row["architecture"],
        vcpus=int(row["vcpus"]),
        memory_bytes=int(row["memory_mib"]) * _MIB,
        network_mbps=int(row["network_mbps"]),
        ebs_mbps=int(row["ebs_mbps"]),
        nvme_bytes=int(row["local_nvme_gb"] or 0) * _GB,
        accelerator=accelerator,
        usd_per_hour=float(row["usd_per_hour"]) if row["usd_per_hour"] else None,
    )
