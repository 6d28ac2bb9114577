"""Machines as their kernels and tools describe them, for discovery to look at.

Nothing here was recorded on the machine it stands for. Each tree is written by hand after the
documented formats: the kernel's sysfs-devices-system-cpu, sysfs-devices-node and cgroup documents,
NVIDIA's nvidia-smi manual, and AWS Neuron's "Neuron LS" and "Neuron Sysfs" guides.
"""
# ruff: noqa: N802 - the library's functions have the library's names

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pilotage.devices import Host

_CPU = "sys/devices/system/cpu"
_NODE = "sys/devices/system/node"
_DRIVER = "sys/devices/virtual/neuron_device"


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def sockets(
    root: Path, *, nodes: int, cores: int, threads: int = 2, gib: int = 64
) -> frozenset[int]:
    """A machine whose second hardware threads are numbered after all first ones, as on Xeons."""
    total = nodes * cores
    for node in range(nodes):
        cpus = [
            c + total * t for c in range(node * cores, (node + 1) * cores) for t in range(threads)
        ]
        meminfo = f"Node {node} MemTotal: {gib << 20} kB\nNode {node} MemFree: {gib << 19} kB"
        write(
            root,
            {
                f"{_NODE}/node{node}/cpulist": ",".join(map(str, sorted(cpus))),
                f"{_NODE}/node{node}/meminfo": meminfo,
            },
        )
        for cpu in cpus:
            core = cpu % total
            siblings = ",".join(str(core + total * t) for t in range(threads))
            write(
                root,
                {
                    f"{_CPU}/cpu{cpu}/topology/physical_package_id": str(node),
                    f"{_CPU}/cpu{cpu}/topology/thread_siblings_list": siblings,
                },
            )
    whole = gib * nodes
    write(root, {"proc/meminfo": f"MemTotal: {whole << 20} kB\nMemAvailable: {whole << 19} kB"})
    return frozenset(range(total * threads))


def gpus(root: Path, count: int, *, row: str, nodes: Sequence[int]) -> dict[str, str]:
    """Device nodes and bus folders; and what ``nvidia-smi`` prints, by its first argument."""
    lines = []
    for index in range(count):
        bus = f"{0x10 + index:02x}:1c.0"
        write(
            root,
            {
                f"dev/nvidia{index}": "",
                f"sys/bus/pci/devices/0000:{bus}/numa_node": str(nodes[index]),
            },
        )
        lines.append(row.format(index=index, bus=f"00000000:{bus.upper()}"))
    return {"--query-gpu": "\n".join(lines) + "\n"}


def neuron_ls(chips: int, cores: int, gib: int, bdf: Iterable[str] = ()) -> str:
    addresses = list(bdf) or [f"00:{0x1F - chip:02x}.0" for chip in range(chips)]
    return json.dumps(
        [
            {
                "neuron_device": chip,
                "bdf": addresses[chip],
                "connected_to": [other for other in (chip - 1, chip + 1) if 0 <= other < chips],
                "nc_count": cores,
                "memory_size": gib << 30,
                "neuron_processes": [],
            }
            for chip in range(chips)
        ]
    )


def neuron_nodes(root: Path, chips: int) -> None:
    write(root, {f"dev/neuron{chip}": "" for chip in range(chips)})


def neuron_driver(root: Path, chips: int, cores: int, name: str) -> None:
    """What the Neuron driver shows below /sys (guide of Neuron 2.2x; later ones move files)."""
    for chip in range(chips):
        write(
            root,
            {
                f"{_DRIVER}/neuron{chip}/core_count": str(cores),
                f"{_DRIVER}/neuron{chip}/info/architecture/device_name": name,
            },
        )


def host(
    root: Path,
    cpus: Iterable[int],
    *,
    commands: Mapping[str, Mapping[str, str]] | None = None,
    environment: Mapping[str, str] | None = None,
    nvml: Any = None,
) -> Host:
    """A host whose programs print what is given, by program and first argument's beginning."""

    def run(command: Sequence[str]) -> str | None:
        answers = (commands or {}).get(command[0], {})
        return next((text for begin, text in answers.items() if command[1].startswith(begin)), None)

    return Host(
        root=root,
        environment=environment or {},
        affinity=lambda: frozenset(cpus),
        run=run,
        nvml=lambda: nvml,
    )


class Library:
    """NVIDIA's management library as its Python binding documents it: a GPU, and a divided one."""

    class NVMLError(Exception):
        """What every call may raise."""

    def __init__(self, *, works: bool = True) -> None:
        self.works = works
        self.open = 0

    def nvmlInit(self) -> None:
        if not self.works:
            raise self.NVMLError
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return f"gpu{index}"

    def nvmlDeviceGetMigMode(self, handle: str) -> tuple[int, int]:
        if handle == "gpu0":
            raise self.NVMLError
        return 1, 1

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: str) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: str, index: int) -> str:
        if index != 2:
            raise self.NVMLError
        return "part"

    def nvmlDeviceGetName(self, handle: str) -> bytes:
        return b"Tesla T4" if handle == "gpu0" else b"NVIDIA A100 MIG 1g.5gb"

    def nvmlDeviceGetUUID(self, handle: str) -> str:
        return "MIG-7" if handle == "part" else f"GPU-{handle}"

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:
        return SimpleNamespace(total=16 << 30, free=15 << 30, used=1 << 30)

    def nvmlDeviceGetCudaComputeCapability(self, handle: str) -> tuple[int, int]:
        return (7, 5) if handle == "gpu0" else (8, 0)

    def nvmlDeviceGetPciInfo(self, handle: str) -> Any:
        return SimpleNamespace(busId="00000000:10:1C.0")

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        if handle != "gpu0":
            raise self.NVMLError
        return SimpleNamespace(gpu=40)
