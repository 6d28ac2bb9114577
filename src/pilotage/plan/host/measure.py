"""What this machine's memory and cores can do, measured with numpy."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

_TRIAD_VALUES: Final = 4 << 20
"""float64 values of an array of each thread: 32 MiB, beyond the caches of most cores."""

_GEMM_SIDE: Final = 1536


def measure_bandwidth(threads: int, *, rounds: int = 5, values: int = _TRIAD_VALUES) -> float:
    """Bytes a second that ``threads`` threads read and write together, the best of some rounds.

    A triad as in the STREAM benchmark, ``a = b + s * c``, in the two passes numpy needs for it:
    ``a = s * c`` (one read, one write) and ``a += b`` (two reads, one write), so 5 arrays pass
    through the memory. numpy lets go of the interpreter lock in both. Threads read what they own.

    Args:
        threads: Cores that the engine will use.
        rounds: How often it is repeated; the best counts, as others' work only slows it.
        values: Of an array of each thread.
    """
    sets = [tuple(np.full(values, 1.0 + k) for k in range(3)) for _ in range(threads)]

    def triad(arrays: tuple[np.ndarray, ...]) -> None:
        a, b, c = arrays
        np.multiply(c, 3.0, out=a)
        np.add(a, b, out=a)

    with ThreadPoolExecutor(threads) as pool:
        best = _best(lambda: list(pool.map(triad, sets)), rounds)
    return 5 * 8 * values * threads / best


def measure_flops(*, rounds: int = 5, side: int = _GEMM_SIDE) -> float:
    """fp32 operations a second of a product of two square matrices, the best of some rounds.

    ``2 * side ** 3`` operations. numpy's BLAS uses as many threads as it was started with.

    Args:
        rounds: How often it is repeated.
        side: Rows and columns.
    """
    random = np.random.default_rng(0)
    left = random.random((side, side), dtype=np.float32)
    right = random.random((side, side), dtype=np.float32)
    out = np.empty_like(left)
    return 2.0 * side**3 / _best(lambda: np.matmul(left, right, out=out), rounds)


def _best(work: Callable[[], object], rounds: int) -> float:
    work()  # touches every page once
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)
