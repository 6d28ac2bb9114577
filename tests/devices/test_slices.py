"""The machine dealt out: disjoint, fair, near, and what cannot be had is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.devices import (
    CudaDevice,
    DeviceKind,
    DeviceSlice,
    Machine,
    NeuronChip,
    PhysicalCore,
    device_nodes,
    plan_slices,
    process_environment,
)
from pilotage.errors import UsageError
from pilotage.spec.placement import WorkerSpec


def cores_of(*nodes: int, threads: int = 1) -> tuple[PhysicalCore, ...]:
    """Nodes of so many physical cores; siblings are numbered after all first threads."""
    total = sum(nodes)
    homes = [number for number, count in enumerate(nodes) for _ in range(count)]
    return tuple(
        PhysicalCore(cpus=tuple(core + total * thread for thread in range(threads)), node=home)
        for core, home in enumerate(homes)
    )


def gpu(number: int, node: int | None = None) -> CudaDevice:
    return CudaDevice(
        number=number, name="GPU", memory_bytes=16 << 30, numa_node=node, visible_as=str(number)
    )


def neuron(chips: int, cores: int) -> tuple[NeuronChip, ...]:
    return tuple(
        NeuronChip(
            number=chip,
            cores=tuple(range(chip * cores, (chip + 1) * cores)),
            memory_bytes=cores << 30,
            core_count=cores,
        )
        for chip in range(chips)
    )


def worker(**fields: Any) -> WorkerSpec:
    return WorkerSpec(**fields)


def all_cores(slices: tuple[DeviceSlice, ...]) -> list[int]:
    return sorted(core for slice_ in slices for core in slice_.cores)


@given(
    nodes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    threads=st.integers(1, 2),
    share=st.floats(0, 1),
)
def test_cpu_slices_are_disjoint_cover_and_are_fair(
    nodes: list[int], threads: int, share: float
) -> None:
    machine = Machine(cores=cores_of(*nodes, threads=threads), free_bytes=1 << 30)
    workers = 1 + round(share * (len(machine.cpus) - 1))
    slices = plan_slices(machine, kind="cpu", workers=workers)
    assert [one.worker for one in slices] == list(range(workers))
    assert all_cores(slices) == list(machine.cpus)
    if workers <= len(machine.cores):
        held = {core.cpus: 0 for core in machine.cores}
        counts = []
        for one in slices:
            whole = [cpus for cpus in held if set(cpus) <= set(one.cores)]
            counts.append(len(whole))
            assert sum(map(len, whole)) == len(one.cores), "a core's threads were parted"
    else:
        counts = [len(one.cores) for one in slices]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(
    ("nodes", "workers", "sizes"),
    [
        ((8, 8), 2, [8, 8]),
        ((6, 7), 4, [3, 3, 4, 3]),  # and not 4 3 3 3, whose second share is on both nodes
        ((7, 6), 4, [4, 3, 3, 3]),
        ((6, 6, 7, 6), 2, [12, 13]),
        ((5,), 2, [3, 2]),
    ],
)
def test_no_node_is_split_that_need_not_be(
    nodes: tuple[int, ...], workers: int, sizes: list[int]
) -> None:
    machine = Machine(cores=cores_of(*nodes))
    slices = plan_slices(machine, kind="cpu", workers=workers)
    assert [len(one.cores) for one in slices] == sizes
    if workers >= len(nodes):
        assert all(one.numa_node is not None for one in slices)


def test_a_share_reaches_into_two_nodes_only_where_it_must() -> None:
    slices = plan_slices(Machine(cores=cores_of(4, 4)), kind="cpu", workers=3)
    assert [one.numa_node for one in slices].count(None) == 1


def test_more_workers_than_cpus_are_refused_with_the_number_there_is() -> None:
    with pytest.raises(UsageError, match=r"3 workers for 2 CPU cores.*at most 2") as caught:
        plan_slices(Machine(cores=cores_of(2)), kind="cpu", workers=3)
    assert caught.value.exit_code == 2


def test_a_quota_limits_threads_and_not_places() -> None:
    machine = Machine(cores=cores_of(8), cpu_quota=2.5)
    slices = plan_slices(machine, kind="cpu", workers=2)
    assert all_cores(slices) == list(range(8))
    assert [one.threads for one in slices] == [2, 1]
    assert [one.environment["OMP_NUM_THREADS"] for one in slices] == ["2", "1"]
    with pytest.raises(UsageError, match="4 workers for 3 CPU cores"):
        plan_slices(machine, kind="cpu", workers=4)


@given(
    nodes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    size=st.integers(1, 4),
    cores=st.lists(st.integers(1, 6), min_size=1, max_size=3),
)
def test_every_gpu_is_in_exactly_one_slice(nodes: list[int], size: int, cores: list[int]) -> None:
    homes = [home for home, count in enumerate(nodes) for _ in range(count)]
    if len(homes) % size:
        size = 1
    machine = Machine(
        cores=cores_of(*cores), cuda=tuple(gpu(n, home) for n, home in enumerate(homes))
    )
    slices = plan_slices(machine, workers=len(homes) // size, devices_per_worker=size)
    assert sorted(n for one in slices for n in one.devices) == list(range(len(homes)))
    assert {len(one.devices) for one in slices} == {size}
    assert all(one.cores and one.kind == "cuda" for one in slices)
    for one in slices:
        if one.numa_node is not None and one.numa_node < len(cores):
            near = {
                cpu for core in machine.cores if core.node == one.numa_node for cpu in core.cpus
            }
            assert set(one.cores) <= near


def test_groups_of_gpus_stay_on_a_node() -> None:
    machine = Machine(cores=cores_of(4, 4), cuda=tuple(gpu(n, 0 if n < 3 else 1) for n in range(6)))
    slices = plan_slices(machine, workers=2, devices_per_worker=2)
    assert [one.devices for one in slices] == [(0, 1), (3, 4)]
    assert [one.cores for one in slices] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert slices[1].environment == {
        "OMP_NUM_THREADS": "4",
        "MKL_NUM_THREADS": "4",
        "OPENBLAS_NUM_THREADS": "4",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "3,4",
    }
    assert slices[1].memory_bytes == 32 << 30
    assert slices[1].name == "cuda:3-4"


def test_neuron_cores_are_ranges_and_ids_above_nine_are_right() -> None:
    machine = Machine(cores=cores_of(8), neuron=neuron(chips=12, cores=2))
    slices = plan_slices(machine, devices_per_worker=2)
    assert len(slices) == 12
    assert slices[2].environment["NEURON_RT_VISIBLE_CORES"] == "4-5"
    assert slices[5].environment["NEURON_RT_VISIBLE_CORES"] == "10-11"
    assert slices[11].environment["NEURON_RT_VISIBLE_CORES"] == "22-23"
    assert "NEURON_RT_NUM_CORES" not in slices[5].environment
    assert slices[5].memory_bytes == 2 << 30


def test_a_group_of_neuron_cores_stays_on_its_chip() -> None:
    machine = Machine(cores=cores_of(4), neuron=neuron(chips=4, cores=4))
    fits = plan_slices(machine, workers=4, devices_per_worker=3)
    assert [one.devices for one in fits] == [(0, 1, 2), (4, 5, 6), (8, 9, 10), (12, 13, 14)]
    tight = plan_slices(machine, workers=5, devices_per_worker=3)
    assert [one.devices for one in tight][:2] == [(0, 1, 2), (3, 4, 5)]


@pytest.mark.parametrize(
    ("cores_a_chip", "node"), [(4, "/dev/neuron1"), (2, "/dev/neuron2")], ids=["inf1", "inf2"]
)
def test_the_device_node_is_the_chips(cores_a_chip: int, node: str) -> None:
    machine = Machine(cores=cores_of(4), neuron=neuron(chips=4, cores=cores_a_chip))
    slices = plan_slices(machine, worker_map=[worker(devices=(5,))])
    assert device_nodes(machine, slices[0]) == (node,)


def test_the_nodes_of_a_gpu_slice_are_its_own_and_the_drivers() -> None:
    machine = Machine(cores=cores_of(4), cuda=(gpu(0), gpu(1)))
    slices = plan_slices(machine)
    assert device_nodes(machine, slices[1]) == (
        "/dev/nvidiactl",
        "/dev/nvidia-uvm",
        "/dev/nvidia1",
    )
    assert device_nodes(machine, plan_slices(machine, kind="cpu")[0]) == ()


def test_a_number_of_neuron_cores_in_the_environment_gives_way() -> None:
    machine = Machine(cores=cores_of(4), neuron=neuron(chips=1, cores=4))
    environment = process_environment(
        plan_slices(machine, workers=1)[0], {"NEURON_RT_NUM_CORES": "4", "HOME": "/root"}
    )
    assert "NEURON_RT_NUM_CORES" not in environment
    assert environment["NEURON_RT_VISIBLE_CORES"] == "0"
    assert environment["HOME"] == "/root"


@pytest.mark.parametrize(
    ("usable", "kind"),
    [(("cpu",), "cpu"), (("cpu", "cuda"), "cuda"), (("neuron", "cpu"), "neuron")],
)
def test_auto_takes_what_the_engine_can_use(
    usable: tuple[DeviceKind, ...], kind: DeviceKind
) -> None:
    machine = Machine(cores=cores_of(4), cuda=(gpu(0),), neuron=neuron(1, 2))
    assert plan_slices(machine, usable=usable)[0].kind == kind


def test_a_cpu_worker_sees_no_gpu() -> None:
    machine = Machine(cores=cores_of(4), cuda=(gpu(0),))
    assert plan_slices(machine, kind="cpu")[0].environment["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "cuda"}, "no CUDA device.*This machine has 2 CPU cores"),
        ({"kind": "neuron"}, "no NeuronCore"),
        (
            {"kind": "cuda", "usable": ["cpu"]},
            "the engine cannot compute on cuda.*It computes on cpu",
        ),
        ({"usable": ["cuda"]}, "cannot compute on this machine.*It computes on cuda"),
    ],
)
def test_devices_that_are_not_there_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_slices(Machine(cores=cores_of(2)), **arguments)


@pytest.mark.parametrize(
    ("workers", "each", "message"),
    [
        (3, 1, "3 workers of 1 CUDA device each on a machine with 2 CUDA devices.*at most 2"),
        (2, 2, "2 workers of 2 CUDA devices each.*at most 1"),
        (1, 4, "--devices-per-worker: 1 worker of 4 CUDA devices each.*fewer"),
    ],
)
def test_more_devices_than_there_are_are_refused(workers: int, each: int, message: str) -> None:
    machine = Machine(cores=cores_of(2), cuda=(gpu(0), gpu(1)))
    with pytest.raises(UsageError, match=message):
        plan_slices(machine, workers=workers, devices_per_worker=each)


def test_a_map_names_devices_and_cores_and_the_rest_is_shared() -> None:
    machine = Machine(cores=cores_of(8), cuda=tuple(map(gpu, range(4))))
    slices = plan_slices(
        machine,
        worker_map=[worker(devices=(2,), cores=(6, 7)), worker(devices=(3, 0)), worker()],
    )
    assert [one.devices for one in slices] == [(2,), (3, 0), (1,)]
    assert [one.cores for one in slices] == [(6, 7), (0, 1, 2), (3, 4, 5)]
    assert slices[1].environment["CUDA_VISIBLE_DEVICES"] == "3,0"


def test_a_map_of_models_only_makes_equal_shares() -> None:
    slices = plan_slices(
        Machine(cores=cores_of(4)), worker_map=[worker(models=("a",)), worker(models=("b",))]
    )
    assert [one.cores for one in slices] == [(0, 1), (2, 3)]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            [{"cores": (0,)}, {"cores": (1, 0)}],
            r"worker_map\[1\].cores: CPU 0 is also named by .*\[0\]",
        ),
        ([{"cores": (0, 99)}], r"worker_map\[0\].cores: there is no CPU 99.*has 0-3"),
        ([{"cores": (0, 1, 2, 3)}, {}], r"worker_map\[1\].cores: no CPU is left"),
        ([{"devices": (0,)}, {"devices": (0,)}], r"worker_map\[1\].devices: CUDA device 0 is also"),
        ([{"devices": (7,)}], r"worker_map\[0\].devices: there is no CUDA device 7.*has 0-1"),
        ([{"devices": (0, 1)}, {}], r"worker_map\[1\]: 1 CUDA device for it, but 0 of 2"),
    ],
)
def test_what_a_map_cannot_have_is_named(entries: list[dict[str, Any]], message: str) -> None:
    machine = Machine(cores=cores_of(4), cuda=(gpu(0), gpu(1)))
    with pytest.raises(UsageError, match=message):
        plan_slices(machine, worker_map=[worker(**entry) for entry in entries])


def test_devices_in_a_map_need_devices() -> None:
    with pytest.raises(UsageError, match=r"worker_map\[0\].devices: there is no device 0.*2 CPU"):
        plan_slices(Machine(cores=cores_of(2)), worker_map=[worker(devices=(0,))])


@given(entries=st.lists(st.sets(st.integers(0, 7), max_size=3), min_size=1, max_size=5))
def test_mapped_slices_are_disjoint_or_refused(entries: list[set[int]]) -> None:
    machine = Machine(cores=cores_of(4, 4, threads=1))
    specs = [worker(cores=tuple(sorted(cores))) for cores in entries]
    named = [core for cores in entries for core in cores]
    try:
        slices = plan_slices(machine, worker_map=specs)
    except UsageError:
        lacking = sum(not cores for cores in entries)
        assert len(set(named)) < len(named) or lacking > 8 - len(set(named))
    else:
        cores = all_cores(slices)
        assert len(set(cores)) == len(cores)
        assert all(one.cores for one in slices)
