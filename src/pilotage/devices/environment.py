"""The environment that keeps a worker within its slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pilotage.devices.machine import Machine
from pilotage.devices.numbers import format_ranges
from pilotage.devices.slice import DeviceKind, DeviceSlice

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

_CONTRARY: Mapping[DeviceKind, tuple[str, ...]] = {
    # The Neuron runtime takes a number of cores or names of cores, not both.
    "neuron": ("NEURON_RT_NUM_CORES",),
    "cuda": (),
    "cpu": (),
}


def slice_environment(
    machine: Machine, kind: DeviceKind, devices: Sequence[int], threads: int
) -> dict[str, str]:
    """Variables for a worker: which devices it sees, and how many threads libraries start.

    A CPU worker on a machine with GPUs sees none of them, so that no library takes memory there.
    """
    variables = dict.fromkeys(_THREADS, str(threads))
    if kind == "cuda":
        names = {device.number: device.visible_as for device in machine.cuda}
        # Without this, CUDA numbers the fastest device 0 and not the first.
        variables["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(names[number] for number in devices)
    elif machine.cuda:
        variables["CUDA_VISIBLE_DEVICES"] = ""
    if kind == "neuron":
        variables["NEURON_RT_VISIBLE_CORES"] = format_ranges(devices)
    return variables


def process_environment(slice_: DeviceSlice, inherited: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a slice's process: inherited, less what contradicts the slice."""
    dropped = _CONTRARY[slice_.kind]
    kept = {name: value for name, value in inherited.items() if name not in dropped}
    return {**kept, **slice_.environment}
