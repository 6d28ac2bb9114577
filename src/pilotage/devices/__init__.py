"""The machine's devices, found and dealt out to workers."""

from pilotage.devices.cpu import pin
from pilotage.devices.discovery import discover
from pilotage.devices.environment import process_environment
from pilotage.devices.host import Host
from pilotage.devices.machine import (
    CudaDevice,
    Machine,
    MemoryNode,
    NeuronChip,
    PhysicalCore,
)
from pilotage.devices.nodes import device_nodes
from pilotage.devices.slice import DeviceKind, DeviceSlice
from pilotage.devices.slices import plan_slices

__all__ = [
    "CudaDevice",
    "DeviceKind",
    "DeviceSlice",
    "Host",
    "Machine",
    "MemoryNode",
    "NeuronChip",
    "PhysicalCore",
    "device_nodes",
    "discover",
    "pin",
    "plan_slices",
    "process_environment",
]
