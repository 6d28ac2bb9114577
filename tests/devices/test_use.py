"""How busy accelerators are, from what their drivers print (hand-written, see `recordings`)."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
import recordings

from pilotage.devices.use import DeviceUse, NeuronMonitor, cuda_use, read_neuron_monitor

# Written by hand after the "Neuron Monitor User Guide"; two processes, the second on core 1 too.
REPORT = {
    "neuron_runtime_data": [
        {
            "pid": 17,
            "error": "",
            "report": {
                "neuroncore_counters": {
                    "period": 5.0,
                    "neuroncores_in_use": {
                        "0": {"neuroncore_utilization": 42.5},
                        "1": {"neuroncore_utilization": 80.0},
                    },
                    "error": "",
                },
                "memory_used": {
                    "period": 5.0,
                    "neuron_runtime_used_bytes": {
                        "host": 1,
                        "neuron_device": 1300,
                        "usage_breakdown": {
                            "neuroncore_memory_usage": {
                                "0": {"constants": 1000, "model_code": 200, "tensors": 100}
                            }
                        },
                    },
                },
            },
        },
        {
            "pid": 18,
            "report": {
                "neuroncore_counters": {
                    "neuroncores_in_use": {"1": {"neuroncore_utilization": 30.0}}
                }
            },
        },
    ],
    "system_data": {},
}


def test_neuron_monitor_tells_each_core() -> None:
    assert read_neuron_monitor(json.dumps(REPORT)) == {
        0: DeviceUse(utilisation=0.425, memory_used_bytes=1300),
        1: DeviceUse(utilisation=1.0),
    }


@pytest.mark.parametrize(
    "line",
    ["", "starting", "[]", "3", '{"neuron_runtime_data": [3, {"report": []}]}', '{"a": 1}'],
)
def test_other_lines_tell_nothing(line: str) -> None:
    assert read_neuron_monitor(line) == {}


def test_the_monitor_runs_beside_us_and_is_ended(tmp_path: Path) -> None:
    program = tmp_path / "neuron-monitor"
    program.write_text(
        f"#!{sys.executable}\nimport time\n"
        f"print({json.dumps(REPORT)!r}, flush=True)\ntime.sleep(60)\n"
    )
    program.chmod(0o755)
    monitor = NeuronMonitor((str(tmp_path / "absent"), str(program)))
    try:
        deadline = time.monotonic() + 30
        while not monitor.latest() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert monitor.latest()[0].utilisation == 0.425
        process = monitor._process
        assert process is not None
    finally:
        monitor.close()
    assert process.poll() is not None


def test_without_the_program_nothing_is_known(tmp_path: Path) -> None:
    monitor = NeuronMonitor((str(tmp_path / "absent"),))
    assert monitor.latest() == {}
    monitor.close()


def test_nvidia_smi_tells_each_gpu(tmp_path: Path) -> None:
    smi = {"--query-gpu=index,utilization": "0, 87, 1024, 15360\n1, [N/A], 10, 40960\nodd\n"}
    host = recordings.host(tmp_path, [0], commands={"nvidia-smi": smi})
    assert cuda_use(host) == {
        0: DeviceUse(utilisation=0.87, memory_used_bytes=1 << 30, memory_bytes=15 << 30),
        1: DeviceUse(memory_used_bytes=10 << 20, memory_bytes=40 << 30),
    }
    assert cuda_use(recordings.host(tmp_path, [0])) == {}


def test_the_library_tells_each_gpu(tmp_path: Path) -> None:
    uses = cuda_use(recordings.host(tmp_path, [0], nvml=recordings.Library()))
    assert [use.utilisation for use in uses.values()] == [0.4, None]
    assert uses[0].memory_used_bytes == 1 << 30
