"""Neuron chips and their cores: by ``neuron-ls``, or the driver's files, or the instance type."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import msgspec

from pilotage.catalog.instances import load_instances
from pilotage.catalog.neuron_chips import NeuronChipModel, chip_model
from pilotage.devices.host import Host
from pilotage.devices.machine import NeuronChip
from pilotage.devices.numbers import parse_ranges

_DRIVER = "sys/devices/virtual/neuron_device"
_COMMANDS = ("neuron-ls", "/opt/aws/neuron/bin/neuron-ls")
_LOGICAL_CORES = "NEURON_LOGICAL_NC_CONFIG"


class _Listed(msgspec.Struct):
    """What ``neuron-ls --json-output`` says of one chip (Neuron documentation, "Neuron LS")."""

    neuron_device: int
    nc_count: int
    memory_size: int = 0
    bdf: str = ""
    numa_node: int | str | None = None


@dataclass(frozen=True)
class _Found:
    number: int
    cores: int
    memory_bytes: int = 0
    numa_node: int | None = None


def discover_neuron(host: Host) -> tuple[tuple[NeuronChip, ...], tuple[str, ...]]:
    """The chips whose device nodes are there, and notes for people.

    ``NEURON_RT_VISIBLE_CORES`` of this process counts: what it hides is not found.
    """
    numbers = host.numbered("dev", "neuron")
    if not numbers:
        return (), ()
    model = _model(host, numbers[0])
    listed = _listed(host)
    found = []
    unknown = []
    for number in numbers:
        chip = listed.get(number) or _by_driver(host, number)
        if chip is None and model is not None:
            chip = _Found(number, model.cores)
        if chip is None:
            unknown.append(f"/dev/neuron{number}")
        else:
            found.append(chip)
    notes = []
    if unknown:
        notes.append(
            f"{', '.join(unknown)}: neither neuron-ls nor the driver tells how many cores; not used"
        )
    if model is None and found:
        model = _guess(found[0])
    return _chips(host, found, model), tuple(notes)


def _chips(
    host: Host, found: list[_Found], model: NeuronChipModel | None
) -> tuple[NeuronChip, ...]:
    visible = _visible(host.environment.get("NEURON_RT_VISIBLE_CORES"))
    together = _cores_together(host.environment.get(_LOGICAL_CORES), model)
    chips = []
    for chip in found:
        # Cores are numbered over all chips of the instance, which are all alike: chip 3 of an
        # Inf2 has cores 6 and 7, of an Inf1 12 to 15.
        count = chip.cores // together if chip.cores % together == 0 else chip.cores
        first = chip.number * count
        cores = tuple(
            core for core in range(first, first + count) if visible is None or core in visible
        )
        if cores:
            chips.append(
                NeuronChip(
                    number=chip.number,
                    cores=cores,
                    name=model.name if model else "",
                    version=model.core_version if model else None,
                    memory_bytes=chip.memory_bytes or (model.memory_bytes if model else 0),
                    core_count=count,
                    numa_node=chip.numa_node,
                )
            )
    return tuple(chips)


def _listed(host: Host) -> dict[int, _Found]:
    for command in _COMMANDS:
        text = host.run([command, "--json-output"])
        if text is None:
            continue
        with suppress(msgspec.MsgspecError):
            return {
                chip.neuron_device: _Found(
                    chip.neuron_device,
                    chip.nc_count,
                    chip.memory_size,
                    _node(host, chip),
                )
                for chip in msgspec.json.decode(text, type=list[_Listed])
                if chip.nc_count > 0
            }
    return {}


def _node(host: Host, chip: _Listed) -> int | None:
    node = chip.numa_node if isinstance(chip.numa_node, int) else None
    if node is None and chip.bdf:
        # neuron-ls writes the bus address with or without the domain.
        bdf = chip.bdf if chip.bdf.count(":") > 1 else f"0000:{chip.bdf}"
        node = host.read_int(f"sys/bus/pci/devices/{bdf}/numa_node")
    return node if node is not None and node >= 0 else None


def _by_driver(host: Host, number: int) -> _Found | None:
    cores = host.read_int(f"{_DRIVER}/neuron{number}/core_count")
    return _Found(number, cores) if cores and cores > 0 else None


def _model(host: Host, number: int) -> NeuronChipModel | None:
    """The chip's model: as the driver names it, or by the type of instance that this is."""
    folder = f"{_DRIVER}/neuron{number}/info/architecture"
    for name in (host.read(f"{folder}/device_name"), host.read(f"{folder}/device_type")):
        if name and (model := chip_model(name)):
            return model
    instance = load_instances().get(host.read("sys/class/dmi/id/product_name") or "")
    if instance is not None and instance.accelerator is not None:
        return chip_model(instance.accelerator.name)
    return None


def _guess(chip: _Found) -> NeuronChipModel | None:
    # Only Inferentia has four cores. Two are an Inferentia2's or a Trainium's: nobody knows.
    return chip_model("Inferentia") if chip.cores == 4 else None


def _cores_together(variable: str | None, model: NeuronChipModel | None) -> int:
    if variable and variable.isdigit() and int(variable) > 0:
        return int(variable)
    return model.cores_together if model else 1


def _visible(variable: str | None) -> frozenset[int] | None:
    if variable is None:
        return None
    try:
        return frozenset(parse_ranges(variable))
    except ValueError:
        return frozenset()
