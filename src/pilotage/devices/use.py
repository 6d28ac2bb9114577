"""How busy accelerators are, told by their drivers (NVML, ``nvidia-smi``, ``neuron-monitor``)."""

from __future__ import annotations

import csv
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from pilotage.devices.host import Host

_QUERY = "index,utilization.gpu,memory.used,memory.total"
_MONITORS = ("neuron-monitor", "/opt/aws/neuron/bin/neuron-monitor")
_MIB = 1 << 20


class DeviceUse(msgspec.Struct, frozen=True, kw_only=True):
    """One CUDA device or NeuronCore at one moment.

    Attributes:
        utilisation: Share of the last sampling period in which it computed, 0 to 1; None where
            the driver does not tell.
        memory_used_bytes: Memory in use, whoever uses it.
        memory_bytes: Memory it has; None where it is not told.
    """

    utilisation: float | None = None
    memory_used_bytes: int = 0
    memory_bytes: int | None = None


def cuda_use(host: Host) -> dict[int, DeviceUse]:
    """The GPUs' use by their index; nothing where nothing tells."""
    nvml = host.nvml()
    if nvml is not None:
        with suppress(nvml.NVMLError):
            return _by_library(nvml)
    text = host.run(["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"])
    uses = {}
    for row in csv.reader((text or "").splitlines(), skipinitialspace=True):
        if len(row) == 4 and row[0].isdigit():
            index, utilisation, used, total = row
            uses[int(index)] = DeviceUse(
                utilisation=int(utilisation) / 100 if utilisation.isdigit() else None,
                memory_used_bytes=int(used) * _MIB if used.isdigit() else 0,
                memory_bytes=int(total) * _MIB if total.isdigit() else None,
            )
    return uses


def _by_library(nvml: Any) -> dict[int, DeviceUse]:
    nvml.nvmlInit()
    try:
        uses = {}
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            busy = None
            with suppress(nvml.NVMLError):  # not told of GPUs that are divided
                busy = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
            uses[index] = DeviceUse(
                utilisation=busy,
                memory_used_bytes=int(memory.used),
                memory_bytes=int(memory.total),
            )
        return uses
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def read_neuron_monitor(line: str) -> dict[int, DeviceUse]:
    """The NeuronCores' use from one line that ``neuron-monitor`` printed.

    Several processes may share a core; what they report of it is added up. A line that is
    something else tells nothing.
    """
    busy: dict[int, float] = {}
    memory: dict[int, int] = {}
    with suppress(ValueError):
        report = msgspec.json.decode(line)
        for runtime in _items(report, "neuron_runtime_data"):
            counters = _inner(runtime, "report", "neuroncore_counters", "neuroncores_in_use")
            for core, values in counters.items():
                share = _inner(values).get("neuroncore_utilization")
                if core.isdigit() and isinstance(share, int | float):
                    busy[int(core)] = busy.get(int(core), 0.0) + share / 100
            used = _inner(
                runtime,
                "report",
                "memory_used",
                "neuron_runtime_used_bytes",
                "usage_breakdown",
                "neuroncore_memory_usage",
            )
            for core, parts in used.items():
                if core.isdigit():
                    sizes = (size for size in _inner(parts).values() if isinstance(size, int))
                    memory[int(core)] = memory.get(int(core), 0) + sum(sizes)
    return {
        core: DeviceUse(
            utilisation=min(1.0, busy[core]) if core in busy else None,
            memory_used_bytes=memory.get(core, 0),
        )
        for core in sorted({*busy, *memory})
    }


class NeuronMonitor:
    """``neuron-monitor`` running beside us, read as it prints. Close it."""

    def __init__(self, commands: tuple[str, ...] = _MONITORS) -> None:
        self._latest: Mapping[int, DeviceUse] = {}
        self._process: subprocess.Popen[str] | None = None
        for command in commands:
            with suppress(OSError):
                self._process = subprocess.Popen(
                    [command],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    encoding="utf-8",
                    errors="replace",
                    start_new_session=True,
                )
                threading.Thread(target=self._read, daemon=True).start()
                break

    def latest(self) -> Mapping[int, DeviceUse]:
        """What it said last, by NeuronCore; nothing where there is no such program."""
        return self._latest

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _read(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        with process.stdout as lines:
            for line in lines:
                found = read_neuron_monitor(line)
                if found:
                    self._latest = found


def _inner(value: Any, *keys: str) -> dict[str, Any]:
    """The mapping at the end of the keys; an empty one where the way ends before."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _items(value: Any, key: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []
