"""Machines found as they are: this one, and hand-written ones (see `recordings`)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import recordings

from pilotage.devices import device_nodes, discover, pin, plan_slices

A100 = "{index}, NVIDIA A100-SXM4-40GB, GPU-{index}aaa, 40960, 40536, 8.0, {bus}, Disabled"
T4 = "{index}, Tesla T4, GPU-{index}bbb, 15360, 14910, 7.5, {bus}, [N/A]"


def test_this_machine_is_found_and_can_be_sliced() -> None:
    machine = discover()
    assert set(machine.cpus) == os.sched_getaffinity(0)
    assert 0 < machine.free_bytes <= machine.memory_bytes
    (whole,) = plan_slices(machine, kind="cpu")
    assert set(whole.cores) == set(machine.cpus)
    pin(whole.cores)
    assert os.sched_getaffinity(0) == set(whole.cores)


def test_two_sockets_keep_siblings_and_nodes_together(tmp_path: Path) -> None:
    cpus = recordings.sockets(tmp_path, nodes=2, cores=8)
    machine = discover(recordings.host(tmp_path, cpus))
    assert len(machine.cores) == 16
    assert machine.cores[0].cpus == (0, 16)
    assert {core.node for core in machine.cores[8:]} == {1}
    assert [node.total_bytes >> 30 for node in machine.nodes] == [64, 64]
    assert machine.memory_bytes >> 30 == 128
    slices = plan_slices(machine, workers=4)
    assert [one.name for one in slices] == [
        "cpu:0-3,16-19",
        "cpu:4-7,20-23",
        "cpu:8-11,24-27",
        "cpu:12-15,28-31",
    ]
    assert [one.numa_node for one in slices] == [0, 0, 1, 1]
    assert {one.memory_bytes >> 30 for one in slices} == {16}


def test_only_the_cpus_of_the_affinity_are_used(tmp_path: Path) -> None:
    recordings.sockets(tmp_path, nodes=2, cores=4)
    machine = discover(recordings.host(tmp_path, [1, 2, 9, 6]))
    assert [core.cpus for core in machine.cores] == [(1, 9), (2,), (6,)]
    assert [core.node for core in machine.cores] == [0, 0, 1]


def test_a_machine_that_tells_nothing_has_its_cpus(tmp_path: Path) -> None:
    machine = discover(recordings.host(tmp_path, [0, 1, 2]))
    assert [core.cpus for core in machine.cores] == [(0,), (1,), (2,)]
    assert machine.nodes == ()
    assert machine.memory_bytes > 0  # the system's own word
    assert [one.cores for one in plan_slices(machine, workers=2)] == [(0, 1), (2,)]


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "250000 100000"}, 2.5),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, None),
        (
            {
                "proc/self/cgroup": "0::/a/b",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000",
                "sys/fs/cgroup/a/cpu.max": "150000 100000",
            },
            1.5,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/f00\n1:memory:/docker/f00",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            3.0,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            None,
        ),
        ({"proc/self/cgroup": "0::/../../escape", "sys/fs/cgroup/cpu.max": "oops"}, None),
    ],
    ids=["v2", "v2-no-limit", "v2-parent", "v1-container", "v1-no-limit", "odd"],
)
def test_the_control_groups_quota_counts(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    cpus = recordings.sockets(tmp_path, nodes=1, cores=8, threads=1)
    recordings.write(tmp_path, files)
    machine = discover(recordings.host(tmp_path, cpus))
    assert machine.cpu_quota == quota
    assert machine.cpu_limit == {2.5: 3, 1.5: 2, 3.0: 3, None: 8}[quota]


@pytest.mark.parametrize(
    ("files", "total", "free"),
    [
        (
            {
                "proc/self/cgroup": "0::/box",
                "sys/fs/cgroup/box/memory.max": "1000",
                "sys/fs/cgroup/box/memory.current": "900",
                "sys/fs/cgroup/box/memory.stat": "anon 5\ninactive_file 300",
            },
            1000,
            400,
        ),
        (
            {
                "proc/self/cgroup": "7:memory:/elsewhere",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "500",
            },
            2000,
            1500,
        ),
        (
            {
                "proc/self/cgroup": "7:memory:/",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "500",
            },
            64 << 30,
            32 << 30,
        ),
    ],
    ids=["v2", "v1", "v1-no-limit"],
)
def test_the_control_groups_memory_counts(
    tmp_path: Path, files: dict[str, str], total: int, free: int
) -> None:
    cpus = recordings.sockets(tmp_path, nodes=1, cores=2)
    recordings.write(tmp_path, files)
    machine = discover(recordings.host(tmp_path, cpus))
    assert (machine.memory_bytes, machine.free_bytes) == (total, free)


def test_a_t4(tmp_path: Path) -> None:
    cpus = recordings.sockets(tmp_path, nodes=1, cores=2)
    smi = recordings.gpus(tmp_path, 1, row=T4, nodes=[-1])
    machine = discover(recordings.host(tmp_path, cpus, commands={"nvidia-smi": smi}))
    (device,) = machine.cuda
    assert device.name == "Tesla T4"
    assert device.capability == (7, 5)
    assert device.memory_bytes == 15360 << 20
    assert device.numa_node is None
    (slice_,) = plan_slices(machine)
    assert slice_.environment["CUDA_VISIBLE_DEVICES"] == "0"
    assert slice_.cores == (0, 1, 2, 3)


def test_eight_a100s_get_the_cores_of_their_socket(tmp_path: Path) -> None:
    cpus = recordings.sockets(tmp_path, nodes=2, cores=24)
    smi = recordings.gpus(tmp_path, 8, row=A100, nodes=[0, 0, 0, 0, 1, 1, 1, 1])
    machine = discover(recordings.host(tmp_path, cpus, commands={"nvidia-smi": smi}))
    slices = plan_slices(machine)
    assert [one.name for one in slices] == [f"cuda:{number}" for number in range(8)]
    assert [one.numa_node for one in slices] == [0] * 4 + [1] * 4
    assert slices[0].cores == (*range(6), *range(48, 54))
    assert slices[4].cores == (*range(24, 30), *range(72, 78))
    pairs = plan_slices(machine, workers=4, devices_per_worker=2)
    assert pairs[3].environment["CUDA_VISIBLE_DEVICES"] == "6,7"
    assert pairs[3].memory_bytes == 2 * (40960 << 20)


@pytest.mark.parametrize(
    ("variable", "numbers"),
    [("2,0", [0, 2]), ("", []), ("-1", []), ("1,9,0", [1]), ("GPU-3a", [3]), ("GPU-", [])],
)
def test_devices_that_the_environment_hides_are_not_there(
    tmp_path: Path, variable: str, numbers: list[int]
) -> None:
    cpus = recordings.sockets(tmp_path, nodes=1, cores=2)
    smi = recordings.gpus(tmp_path, 4, row=A100, nodes=[0] * 4)
    machine = discover(
        recordings.host(
            tmp_path,
            cpus,
            commands={"nvidia-smi": smi},
            environment={"CUDA_VISIBLE_DEVICES": variable},
        )
    )
    assert [device.number for device in machine.cuda] == numbers


def test_a_divided_gpu_is_its_parts(tmp_path: Path) -> None:
    cpus = recordings.sockets(tmp_path, nodes=1, cores=4)
    smi = recordings.gpus(tmp_path, 1, row=A100.replace("Disabled", "Enabled"), nodes=[0])
    smi["-L"] = (
        "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-0aaa)\n"
        "  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4)\n"
        "  MIG 1g.5gb      Device  1: (UUID: MIG-99aa)\n"
    )
    machine = discover(recordings.host(tmp_path, cpus, commands={"nvidia-smi": smi}))
    slices = plan_slices(machine)
    assert [one.environment["CUDA_VISIBLE_DEVICES"] for one in slices] == [
        "MIG-c6d4f1ef-42e4",
        "MIG-99aa",
    ]
    assert [one.memory_bytes >> 30 for one in slices] == [20, 5]
    assert device_nodes(machine, slices[0]) == ("/dev/nvidiactl", "/dev/nvidia-uvm")


def test_gpus_that_nothing_describes_are_a_note(tmp_path: Path) -> None:
    cpus = recordings.sockets(tmp_path, nodes=1, cores=2)
    recordings.write(tmp_path, {"dev/nvidia0": "", "dev/nvidiactl": ""})
    machine = discover(recordings.host(tmp_path, cpus))
    assert machine.cuda == ()
    assert machine.notes == (
        "1 NVIDIA device in /dev, but neither nvidia-ml-py nor nvidia-smi can tell what they are",
    )


def test_the_library_is_asked_first(tmp_path: Path) -> None:
    cpus = recordings.sockets(tmp_path, nodes=1, cores=2)
    library = recordings.Library()
    machine = discover(recordings.host(tmp_path, cpus, nvml=library))
    assert [device.visible_as for device in machine.cuda] == ["0", "MIG-7"]
    assert [device.capability for device in machine.cuda] == [(7, 5), (8, 0)]
    assert machine.cuda[0].free_bytes == 15 << 30
    assert library.open == 0


def test_a_library_without_a_driver_gives_way_to_the_command(tmp_path: Path) -> None:
    cpus = recordings.sockets(tmp_path, nodes=1, cores=2)
    smi = recordings.gpus(tmp_path, 1, row=T4, nodes=[0])
    machine = discover(
        recordings.host(
            tmp_path, cpus, nvml=recordings.Library(works=False), commands={"nvidia-smi": smi}
        )
    )
    assert [device.name for device in machine.cuda] == ["Tesla T4"]


def test_inf1_6xlarge(tmp_path: Path) -> None:
    cpus = recordings.sockets(tmp_path, nodes=1, cores=12)
    recordings.neuron_nodes(tmp_path, 4)
    listing = {"neuron-ls": {"--json": recordings.neuron_ls(4, 4, 8)}}
    machine = discover(recordings.host(tmp_path, cpus, commands=listing))
    assert machine.neuron_cores == tuple(range(16))
    assert machine.neuron[3].name == "Inferentia"
    assert machine.neuron[3].version == 1
    assert machine.neuron[3].core_memory_bytes == 2 << 30
    slices = plan_slices(machine)
    assert slices[10].environment["NEURON_RT_VISIBLE_CORES"] == "10"
    assert device_nodes(machine, slices[10]) == ("/dev/neuron2",)


@pytest.mark.parametrize("teller", ["neuron-ls", "driver", "instance"])
def test_inf2_48xlarge(tmp_path: Path, teller: str) -> None:
    cpus = recordings.sockets(tmp_path, nodes=2, cores=48)
    recordings.neuron_nodes(tmp_path, 12)
    commands: dict[str, dict[str, str]] = {}
    if teller == "neuron-ls":
        commands = {"/opt/aws/neuron/bin/neuron-ls": {"--json": recordings.neuron_ls(12, 2, 32)}}
    if teller == "driver":
        recordings.neuron_driver(tmp_path, 12, 2, "Inferentia2")
    if teller == "instance":
        recordings.write(tmp_path, {"sys/class/dmi/id/product_name": "inf2.48xlarge"})
    machine = discover(recordings.host(tmp_path, cpus, commands=commands))
    assert machine.neuron_cores == tuple(range(24))
    assert machine.neuron[11].cores == (22, 23)
    if teller != "neuron-ls":  # which does not say which of the chips with two cores it is
        assert machine.neuron[0].name == "Inferentia2"
    assert machine.neuron[0].memory_bytes == 32 << 30
    slices = plan_slices(machine, workers=12, devices_per_worker=2)
    assert slices[5].environment["NEURON_RT_VISIBLE_CORES"] == "10-11"
    assert device_nodes(machine, slices[5]) == ("/dev/neuron5",)


def test_trainium2_shows_two_cores_as_one_unless_told(tmp_path: Path) -> None:
    cpus = recordings.sockets(tmp_path, nodes=1, cores=4)
    recordings.neuron_nodes(tmp_path, 2)
    recordings.neuron_driver(tmp_path, 2, 8, "Trainium2")
    machine = discover(recordings.host(tmp_path, cpus))
    assert machine.neuron[1].cores == (4, 5, 6, 7)
    single = {"NEURON_LOGICAL_NC_CONFIG": "1"}
    machine = discover(recordings.host(tmp_path, cpus, environment=single))
    assert machine.neuron[1].cores == tuple(range(8, 16))


def test_neuron_cores_that_the_environment_hides_are_not_there(tmp_path: Path) -> None:
    cpus = recordings.sockets(tmp_path, nodes=1, cores=4)
    recordings.neuron_nodes(tmp_path, 4)
    recordings.neuron_driver(tmp_path, 4, 2, "Inferentia2")
    environment = {"NEURON_RT_VISIBLE_CORES": "3-4"}
    machine = discover(recordings.host(tmp_path, cpus, environment=environment))
    assert [(chip.number, chip.cores) for chip in machine.neuron] == [(1, (3,)), (2, (4,))]
    assert machine.neuron[0].core_memory_bytes == 16 << 30


@pytest.mark.parametrize("listing", ["", "{}", "not json", '[{"neuron_device": 0}]'])
def test_chips_that_nothing_describes_are_a_note(tmp_path: Path, listing: str) -> None:
    cpus = recordings.sockets(tmp_path, nodes=1, cores=4)
    recordings.neuron_nodes(tmp_path, 1)
    commands = {"neuron-ls": {"--json": listing}}
    machine = discover(recordings.host(tmp_path, cpus, commands=commands))
    assert machine.neuron == ()
    assert machine.notes[0].startswith("/dev/neuron0: neither neuron-ls nor the driver")
