"""What this machine has."""

from __future__ import annotations

from pilotage.devices.control_groups import cpu_quota
from pilotage.devices.cpu import discover_cores, discover_memory, discover_nodes
from pilotage.devices.cuda import discover_cuda
from pilotage.devices.host import Host
from pilotage.devices.machine import Machine
from pilotage.devices.neuron import discover_neuron


def discover(host: Host | None = None) -> Machine:
    """Look at the machine: cores, memory, CUDA devices, Neuron chips, and this process's limits.

    Nothing is initialised: no CUDA context is made and no NeuronCore taken.

    Args:
        host: Where to look; this machine by default.
    """
    host = host or Host()
    cores = discover_cores(host)
    memory, free = discover_memory(host)
    cuda, cuda_notes = discover_cuda(host, cores)
    neuron, neuron_notes = discover_neuron(host)
    return Machine(
        cores=cores,
        memory_bytes=memory,
        free_bytes=free,
        nodes=discover_nodes(host),
        cpu_quota=cpu_quota(host),
        cuda=cuda,
        neuron=neuron,
        notes=(*cuda_notes, *neuron_notes),
    )
