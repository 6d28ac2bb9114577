"""CPU cores and memory of this machine, and pinning to them."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress

import psutil

from pilotage.devices.control_groups import memory_limits
from pilotage.devices.host import Host
from pilotage.devices.machine import MemoryNode, PhysicalCore
from pilotage.devices.numbers import parse_ranges

_CPUS = "sys/devices/system/cpu"
_NODES = "sys/devices/system/node"


def discover_cores(host: Host) -> tuple[PhysicalCore, ...]:
    """The physical cores whose threads this process may use, node by node.

    Where the kernel does not tell the topology (not Linux, some sandboxes), each logical CPU is a
    core.
    """
    allowed = host.affinity()
    nodes = _node_of_cpu(host)
    seen: set[int] = set()
    cores = []
    for cpu in sorted(allowed):
        if cpu in seen:
            continue
        topology = f"{_CPUS}/cpu{cpu}/topology"
        siblings = {cpu}
        text = host.read(f"{topology}/core_cpus_list") or host.read(
            f"{topology}/thread_siblings_list"
        )
        with suppress(ValueError):
            siblings |= allowed.intersection(parse_ranges(text or "")) - seen
        seen |= siblings
        cores.append(
            PhysicalCore(
                cpus=tuple(sorted(siblings)),
                node=nodes.get(cpu),
                package=max(0, host.read_int(f"{topology}/physical_package_id") or 0),
            )
        )
    return tuple(sorted(cores, key=lambda core: (core.node or 0, core.cpus)))


def discover_nodes(host: Host) -> tuple[MemoryNode, ...]:
    """Memory by NUMA node."""
    nodes = []
    for number in host.numbered(_NODES, "node"):
        lines = (host.read(f"{_NODES}/node{number}/meminfo") or "").splitlines()
        # Lines such as "Node 0 MemTotal:       12149316 kB".
        values = {
            words[2].rstrip(":"): int(words[3]) << 10
            for words in map(str.split, lines)
            if len(words) >= 4 and words[3].isdigit()
        }
        if values.get("MemTotal"):
            nodes.append(
                MemoryNode(
                    number=number,
                    total_bytes=values["MemTotal"],
                    free_bytes=values.get("MemFree", 0),
                )
            )
    return tuple(nodes)


def discover_memory(host: Host) -> tuple[int, int]:
    """Memory of the machine and what can be had of it now, bytes; control groups respected."""
    values: dict[str, int] = {}
    for words in map(str.split, (host.read("proc/meminfo") or "").splitlines()):
        if len(words) >= 2 and words[1].isdigit():
            values[words[0].rstrip(":")] = int(words[1]) << 10
    total, free = values.get("MemTotal"), values.get("MemAvailable")
    if total is None or free is None:
        memory = psutil.virtual_memory()
        total, free = memory.total, memory.available
    limits = memory_limits(host)
    if limits is not None:
        total, free = min(total, limits[0]), min(free, limits[1])
    return total, free


def pin(cores: Collection[int]) -> None:
    """Bind this process, and every thread it starts from now on, to the logical CPUs."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def _node_of_cpu(host: Host) -> dict[int, int]:
    nodes: dict[int, int] = {}
    for number in host.numbered(_NODES, "node"):
        with suppress(ValueError):
            cpus = parse_ranges(host.read(f"{_NODES}/node{number}/cpulist") or "")
            nodes.update(dict.fromkeys(cpus, number))
    return nodes
