"""``pilotage devices``: what this machine has, and how workers would share it."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pilotage.devices import DeviceSlice, Machine, device_nodes, discover, plan_slices
from pilotage.devices.describe import counted
from pilotage.devices.numbers import format_ranges
from pilotage.units import format_size, printable


def devices(
    *,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help="Workers that share the machine.",
            show_default="one a device, or one on the CPU",
        ),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda", "neuron"], typer.Option(help="What they compute on.")
    ] = "auto",
    devices_per_worker: Annotated[
        int, typer.Option(min=1, max=1024, help="CUDA devices or NeuronCores of each.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show this machine's cores, GPUs and Neuron chips, and each worker's share of them."""
    machine = discover()
    slices = plan_slices(
        machine, kind=device, workers=workers, devices_per_worker=devices_per_worker
    )
    if as_json:
        shares = [
            {
                **msgspec.to_builtins(one),
                "name": one.name,
                "threads": one.threads,
                "device_nodes": device_nodes(machine, one),
            }
            for one in slices
        ]
        typer.echo(json.dumps({"machine": msgspec.to_builtins(machine), "slices": shares}))
        return
    console = Console(highlight=False)
    console.print(_machine(machine))
    for note in machine.notes:
        console.print(Text(f"note: {note}", style="yellow"))
    console.print()
    console.print(_slices(machine, slices))


def _machine(machine: Machine) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for node in sorted({core.node for core in machine.cores}, key=lambda node: node or 0):
        cores = [core for core in machine.cores if core.node == node]
        cpus = [cpu for core in cores for cpu in core.cpus]
        name = "CPU" if node is None else f"CPU node {node}"
        own = [one for one in machine.nodes if one.number == node and len(machine.nodes) > 1]
        memory = "".join(f", {_of(one.free_bytes, one.total_bytes)}" for one in own)
        table.add_row(name, f"{counted(len(cores), 'core')}, CPUs {format_ranges(cpus)}{memory}")
    if machine.cpu_quota is not None:
        table.add_row("CPU quota", f"{machine.cpu_quota:g} cores, from the control group")
    table.add_row("memory", _of(machine.free_bytes, machine.memory_bytes))
    for gpu in machine.cuda:
        memory = f"{format_size(gpu.memory_bytes, digits=3)}"
        able = f", compute {gpu.capability[0]}.{gpu.capability[1]}" if gpu.capability else ""
        near = f", node {gpu.numa_node}" if gpu.numa_node is not None else ""
        table.add_row(f"cuda {gpu.number}", Text(f"{printable(gpu.name)}, {memory}{able}{near}"))
    for chip in machine.neuron:
        name = chip.name or "Neuron chip"
        memory = f", {format_size(chip.memory_bytes, digits=3)}" if chip.memory_bytes else ""
        table.add_row(
            f"neuron {chip.number}", f"{name}, NeuronCores {format_ranges(chip.cores)}{memory}"
        )
    return table


def _of(free: int, total: int) -> str:
    return f"{format_size(free, digits=3)} free of {format_size(total, digits=3)}"


def _slices(machine: Machine, slices: tuple[DeviceSlice, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("worker", "slice", "CPUs", "threads", "memory", "node", "needs"):
        table.add_column(name, overflow="fold", justify="right" if name == "threads" else "left")
    for one in slices:
        table.add_row(
            str(one.worker),
            one.name,
            format_ranges(one.cores),
            str(one.threads),
            format_size(one.memory_bytes, digits=3),
            "-" if one.numa_node is None else str(one.numa_node),
            " ".join(device_nodes(machine, one)) or "-",
        )
    return table
