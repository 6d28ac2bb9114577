"""CPU cores dealt out in equal shares that cross as few NUMA nodes as they can."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from pilotage.devices.machine import PhysicalCore


def share_cores(cores: Sequence[PhysicalCore], workers: int) -> tuple[tuple[int, ...], ...]:
    """Each worker's logical CPUs: contiguous shares of physical cores, sizes at most one apart.

    Hardware threads of a core stay together, unless there are more workers than cores; then the
    logical CPUs are shared instead. Which shares get the extra core is chosen so that shares
    reach into as few NUMA nodes as possible: cores of 6 + 7 for four workers go 3 3 | 4 3, not
    4 3 3 3, where the second would have memory on both sides.

    Args:
        cores: Node by node.
        workers: At most the number of logical CPUs.
    """
    units = [(core.cpus, core.node) for core in cores]
    if workers > len(units):
        units = [((cpu,), core.node) for core in cores for cpu in core.cpus]
    share, extra = divmod(len(units), workers)
    sizes = _sizes([node for _, node in units], workers, share, extra)
    ends = list(accumulate(sizes))
    return tuple(
        tuple(sorted(cpu for cpus, _ in units[end - size : end] for cpu in cpus))
        for size, end in zip(sizes, ends, strict=True)
    )


def _sizes(nodes: Sequence[int | None], workers: int, share: int, extra: int) -> list[int]:
    """Sizes of the shares in order, `extra` of them ``share + 1``, that touch the fewest nodes.

    Exact, by dynamic programming over (shares dealt, larger ones among them): both fix where the
    next share begins, so its cost depends on nothing else. Ties put the larger shares first.
    """
    # changes[i]: node boundaries before position i, so a share [a, b) touches
    # changes[b - 1] - changes[a] + 1 nodes.
    changes = [0, *accumulate(int(a != b) for a, b in pairwise(nodes))]
    best: list[dict[int, tuple[int, bool]]] = []
    costs = {0: 0}
    for dealt in range(workers):
        reached: dict[int, tuple[int, bool]] = {}
        for count in range(max(0, extra - (workers - dealt - 1)), min(extra, dealt + 1) + 1):
            for bigger in (False, True):
                cost = costs.get(count - bigger)
                if cost is None:
                    continue
                begin = dealt * share + count - bigger
                cost += changes[begin + share + bigger - 1] - changes[begin]
                if count not in reached or cost < reached[count][0]:
                    reached[count] = (cost, bigger)
        best.append(reached)
        costs = {count: cost for count, (cost, _) in reached.items()}
    sizes = []
    count = extra
    for reached in reversed(best):
        bigger = reached[count][1]
        sizes.append(share + bigger)
        count -= bigger
    return sizes[::-1]
