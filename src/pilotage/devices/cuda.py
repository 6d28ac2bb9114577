"""CUDA devices, found without a CUDA context: by NVIDIA's library, or else by ``nvidia-smi``."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pilotage.devices.host import Host
from pilotage.devices.machine import CudaDevice, PhysicalCore
from pilotage.devices.numbers import parse_ranges

_MIB = 1 << 20
_QUERY = (
    "index",
    "name",
    "uuid",
    "memory.total",
    "memory.free",
    "compute_cap",
    "pci.bus_id",
    "mig.mode.current",
)
# `nvidia-smi -L` lists a part below its GPU: "  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-…)".
_MIG_LINE = re.compile(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[\w/-]+)\)")
_GPU_LINE = re.compile(r"GPU (\d+): ")
_MIG_MEMORY = re.compile(r"\.(\d+)gb")


@dataclass(frozen=True, kw_only=True)
class _Gpu:
    """A device as the driver lists it; with MIG enabled only its parts can be opened."""

    index: int
    name: str
    uuid: str
    memory_bytes: int
    free_bytes: int
    capability: tuple[int, int] | None
    bus_id: str
    part_of: int | None = None


def discover_cuda(
    host: Host, cores: Sequence[PhysicalCore]
) -> tuple[tuple[CudaDevice, ...], tuple[str, ...]]:
    """The CUDA devices that this process may open, in PCI order, and notes for people.

    ``CUDA_VISIBLE_DEVICES`` of this process counts, with its indices in PCI order.

    Args:
        host: Where to look.
        cores: The machine's cores, to tell which are near.
    """
    gpus = _by_library(host)
    if gpus is None:
        gpus = _by_command(host)
    if gpus is None:
        present = host.numbered("dev", "nvidia")
        if not present:
            return (), ()
        count = f"{len(present)} NVIDIA device{'s' if len(present) > 1 else ''} in /dev"
        return (), (f"{count}, but neither nvidia-ml-py nor nvidia-smi can tell what they are",)
    allowed = {cpu for core in cores for cpu in core.cpus}
    devices = tuple(_device(host, place, gpu, allowed) for place, gpu in enumerate(gpus))
    return tuple(_visible(devices, host.environment.get("CUDA_VISIBLE_DEVICES"))), ()


def _device(host: Host, place: int, gpu: _Gpu, allowed: set[int]) -> CudaDevice:
    # The driver writes "00000000:10:1C.0", the kernel "0000:10:1c.0".
    folder = f"sys/bus/pci/devices/{gpu.bus_id.lower()[-12:]}"
    node = host.read_int(f"{folder}/numa_node")
    near: tuple[int, ...] = ()
    with suppress(ValueError):
        near = parse_ranges(host.read(f"{folder}/local_cpulist") or "")
    return CudaDevice(
        number=place,
        name=gpu.name,
        uuid=gpu.uuid,
        memory_bytes=gpu.memory_bytes,
        free_bytes=gpu.free_bytes,
        capability=gpu.capability,
        numa_node=node if node is not None and node >= 0 else None,
        cpus=tuple(cpu for cpu in near if cpu in allowed),
        visible_as=str(gpu.index) if gpu.part_of is None else gpu.uuid,
    )


def _visible(devices: Sequence[CudaDevice], variable: str | None) -> Iterable[CudaDevice]:
    """CUDA's own rule: what is named before the first name that means nothing."""
    if variable is None:
        return devices
    shown = []
    for name in (part.strip() for part in variable.split(",")):
        found = [
            device
            for device in devices
            if name == device.visible_as
            or (name.startswith(("GPU-", "MIG-")) and device.uuid.startswith(name))
        ]
        if len(found) != 1:
            break
        shown += found
    return sorted(set(shown), key=lambda device: device.number)


def _by_command(host: Host) -> list[_Gpu] | None:
    text = host.run(
        ["nvidia-smi", f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits"]
    )
    if text is None:
        return None
    gpus: list[_Gpu] = []
    parts: dict[int, list[tuple[str, str]]] | None = None
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        # Unknown fields read "[N/A]", "[Not Supported]", "[Insufficient Permissions]".
        if len(row) != len(_QUERY) or not row[0].isdigit():
            continue
        index, name, uuid, total, free, capability, bus_id, mig = row
        gpu = _Gpu(
            index=int(index),
            name=name,
            uuid=uuid,
            memory_bytes=_mebibytes(total),
            free_bytes=_mebibytes(free),
            capability=_capability(capability),
            bus_id=bus_id,
        )
        if mig != "Enabled":
            gpus.append(gpu)
            continue
        if parts is None:
            parts = _parts(host.run(["nvidia-smi", "-L"]) or "")
        gpus += [_part(gpu, *part) for part in parts.get(gpu.index, [])]
    return gpus


def _part(gpu: _Gpu, profile: str, uuid: str) -> _Gpu:
    # A profile such as 3g.20gb says its memory, as closely as nvidia-smi's lists do.
    memory = _MIG_MEMORY.search(profile)
    size = (int(memory[1]) << 30) if memory else 0
    return _Gpu(
        index=gpu.index,
        name=f"{gpu.name} MIG {profile}",
        uuid=uuid,
        memory_bytes=size,
        free_bytes=size,
        capability=gpu.capability,
        bus_id=gpu.bus_id,
        part_of=gpu.index,
    )


def _parts(text: str) -> dict[int, list[tuple[str, str]]]:
    parts: dict[int, list[tuple[str, str]]] = {}
    gpu = -1
    for line in text.splitlines():
        if match := _GPU_LINE.match(line):
            gpu = int(match[1])
        elif match := _MIG_LINE.match(line):
            parts.setdefault(gpu, []).append((match[1], match[2]))
    return parts


def _by_library(host: Host) -> list[_Gpu] | None:
    nvml = host.nvml()
    if nvml is None:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:  # no driver
        return None
    try:
        return list(_library_gpus(nvml))
    except nvml.NVMLError:
        return None
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _library_gpus(nvml: Any) -> Iterator[_Gpu]:
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        gpu = _library_gpu(nvml, handle, index, handle)
        enabled = 0
        with suppress(nvml.NVMLError):  # GPUs that cannot be divided say "not supported"
            enabled, _ = nvml.nvmlDeviceGetMigMode(handle)
        if not enabled:
            yield gpu
            continue
        for place in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            with suppress(nvml.NVMLError):  # a place that no part takes
                part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
                yield _library_gpu(nvml, part, index, handle, part_of=index)


def _library_gpu(
    nvml: Any, handle: Any, index: int, parent: Any, *, part_of: int | None = None
) -> _Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    capability = None
    with suppress(nvml.NVMLError):
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(parent)
        capability = (int(major), int(minor))
    return _Gpu(
        index=index,
        name=_text(nvml.nvmlDeviceGetName(handle)),
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        memory_bytes=int(memory.total),
        free_bytes=int(memory.free),
        capability=capability,
        bus_id=_text(nvml.nvmlDeviceGetPciInfo(parent).busId),
        part_of=part_of,
    )


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _mebibytes(text: str) -> int:
    return int(text) * _MIB if text.isdigit() else 0


def _capability(text: str) -> tuple[int, int] | None:
    major, _, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None
