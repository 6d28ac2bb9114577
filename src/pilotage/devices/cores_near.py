"""Which CPU cores go with which worker."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pilotage.devices.core_shares import share_cores
from pilotage.devices.machine import PhysicalCore


def cores_near(
    cores: Sequence[PhysicalCore], nodes: Sequence[int | None]
) -> tuple[tuple[int, ...], ...]:
    """Logical CPUs for each worker whose accelerators are on the NUMA node of that place.

    Workers of a node share its cores equally. Those whose node is not known, or has no cores,
    share the cores of nodes that nobody is near to, or all cores if there are no such. Where there
    are more workers than CPUs they all run on all of them: an accelerator's worker mostly waits.

    Args:
        cores: Node by node; at least one.
        nodes: One for each worker.
    """
    with_cores = {core.node for core in cores}
    homes = [node if node in with_cores else None for node in nodes]
    claimed = {home for home in homes if home is not None}
    chosen: list[tuple[int, ...]] = [()] * len(homes)
    for home in {*homes}:
        if home is None:
            pool = [core for core in cores if core.node not in claimed] or list(cores)
        else:
            pool = [core for core in cores if core.node == home]
        workers = [worker for worker, one in enumerate(homes) if one == home]
        cpus = tuple(sorted(cpu for core in pool for cpu in core.cpus))
        shares = (
            share_cores(pool, len(workers)) if len(workers) <= len(cpus) else (cpus,) * len(workers)
        )
        for worker, share in zip(workers, shares, strict=True):
            chosen[worker] = share
    return tuple(chosen)


def without(cores: Sequence[PhysicalCore], taken: Collection[int]) -> tuple[PhysicalCore, ...]:
    """The cores less some of their logical CPUs."""
    left = (
        PhysicalCore(
            cpus=tuple(cpu for cpu in core.cpus if cpu not in taken),
            node=core.node,
            package=core.package,
        )
        for core in cores
    )
    return tuple(core for core in left if core.cpus)
