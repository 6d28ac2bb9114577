"""Device nodes: what a container must be given for a slice to work inside it."""

from __future__ import annotations

from pilotage.devices.machine import Machine
from pilotage.devices.slice import DeviceSlice


def device_nodes(machine: Machine, slice_: DeviceSlice) -> tuple[str, ...]:
    """Paths such as ``/dev/neuron2``, in order; none for a CPU.

    A NeuronCore's node is that of the chip it is on: core 5 is on ``/dev/neuron1`` of an Inf1
    (4 cores a chip) and on ``/dev/neuron2`` of an Inf2 (2 cores a chip).

    CUDA also needs the driver's common nodes, which come first. MIG parts need more than nodes;
    give such a container the device by its UUID instead.
    """
    if slice_.kind == "neuron":
        wanted = set(slice_.devices)
        return tuple(
            f"/dev/neuron{chip.number}" for chip in machine.neuron if wanted & set(chip.cores)
        )
    if slice_.kind == "cuda":
        names = {device.number: device.visible_as for device in machine.cuda}
        indices = [names[number] for number in slice_.devices]
        return (
            "/dev/nvidiactl",
            "/dev/nvidia-uvm",
            *(f"/dev/nvidia{index}" for index in indices if index.isdigit()),
        )
    return ()
