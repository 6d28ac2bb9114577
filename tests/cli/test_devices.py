"""``pilotage devices`` on this machine."""

from __future__ import annotations

import json
import os

import pytest

from pilotage.cli import devices as devices_module
from pilotage.cli.devices import devices
from pilotage.devices import CudaDevice, Machine, MemoryNode, NeuronChip, PhysicalCore
from pilotage.errors import UsageError


def test_the_table_names_every_worker(capsys: pytest.CaptureFixture[str]) -> None:
    devices(workers=1, device="cpu", devices_per_worker=1, as_json=False)
    text = capsys.readouterr().out
    assert "memory" in text
    assert "worker  slice" in text
    assert "\n0       cpu:" in text


def test_json_has_the_machine_and_the_slices(capsys: pytest.CaptureFixture[str]) -> None:
    devices(workers=None, device="cpu", devices_per_worker=1, as_json=True)
    told = json.loads(capsys.readouterr().out)
    (slice_,) = told["slices"]
    assert set(slice_["cores"]) == os.sched_getaffinity(0)
    assert slice_["environment"]["OMP_NUM_THREADS"] == str(slice_["threads"])
    assert slice_["device_nodes"] == []
    cpus = {cpu for core in told["machine"]["cores"] for cpu in core["cpus"]}
    assert cpus == os.sched_getaffinity(0)


def test_more_workers_than_cores_are_refused() -> None:
    with pytest.raises(UsageError, match="workers for"):
        devices(workers=1024, device="cpu", devices_per_worker=1, as_json=False)


def test_a_big_machine_is_drawn_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(
        cores=(PhysicalCore(cpus=(0, 2), node=0), PhysicalCore(cpus=(1, 3), node=1)),
        memory_bytes=64 << 30,
        free_bytes=32 << 30,
        nodes=tuple(
            MemoryNode(number=number, total_bytes=32 << 30, free_bytes=16 << 30)
            for number in range(2)
        ),
        cpu_quota=1.5,
        cuda=(
            CudaDevice(
                number=0,
                name="Tesla T4",
                memory_bytes=15 << 30,
                capability=(7, 5),
                numa_node=1,
                visible_as="0",
            ),
        ),
        neuron=(
            NeuronChip(
                number=3, cores=(6, 7), name="Inferentia2", memory_bytes=32 << 30, core_count=2
            ),
        ),
        notes=("something was odd",),
    )
    monkeypatch.setattr(devices_module, "discover", lambda: machine)
    monkeypatch.setenv("COLUMNS", "120")
    devices(workers=None, device="neuron", devices_per_worker=2, as_json=False)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "CPU node 0 1 core, CPUs 0,2, 16GiB free of 32GiB",
        "CPU node 1 1 core, CPUs 1,3, 16GiB free of 32GiB",
        "CPU quota 1.5 cores, from the control group",
        "memory 32GiB free of 64GiB",
        "cuda 0 Tesla T4, 15GiB, compute 7.5, node 1",
        "neuron 3 Inferentia2, NeuronCores 6-7, 32GiB",
        "note: something was odd",
        "",
        "worker slice CPUs threads memory node needs",
        "0 neuron:6-7 0-3 2 32GiB - /dev/neuron3",
    ]
