"""Runs requests on networks of fixed shapes: each in the smallest bucket that holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pilotage.engines.compiled.buckets import bucket_of
from pilotage.engines.encoders.runner import Floats, Runner, padded


class Network(Protocol):
    """A compiled network of one shape."""

    def infer(self, batch: Mapping[str, NDArray[np.int64]]) -> Floats:
        """Run a full batch: ``input_ids``, ``attention_mask`` and ``token_type_ids``."""


class StaticRunner:
    """Routes and batches. See `pilotage.engines.encoders.runner.Runner`.

    Args:
        networks: By length and batch; every length has the same batches.
        pad_id: The token that fills rows up, and whole rows of a batch that is not full.
        name: Library and version.
    """

    def __init__(
        self, networks: Mapping[tuple[int, int], Network], *, pad_id: int, name: str
    ) -> None:
        self._networks = networks
        self._pad_id = pad_id
        self._buckets = tuple(sorted({length for length, _ in networks}))
        self._batches = tuple(sorted({batch for _, batch in networks}))
        self.max_len = self._buckets[-1]
        self.name = name

    def width(self, tokens: int) -> int:
        """The length of the bucket."""
        return bucket_of(tokens, self._buckets)

    def run(self, sequences: Sequence[Sequence[int]], segments: Sequence[bytes]) -> Floats:
        """Run a batch of any size, as several of those that were compiled; see `Runner.run`."""
        parts = [
            self._run_one(size, sequences[begin:end], segments[begin:end])
            for size, begin, end in _places(len(sequences), self._batches)
        ]
        if len(parts) == 1:
            return parts[0]
        return _stacked(parts)

    def warm_up(self) -> None:
        """Run every network once: the first pass through each is slow."""
        for length, size in self._networks:
            self._run_one(size, [[self._pad_id + 1] * length] * size, [b""] * size)

    def _run_one(
        self, size: int, sequences: Sequence[Sequence[int]], segments: Sequence[bytes]
    ) -> Floats:
        length = self.width(max(map(len, sequences)))
        batch = padded(sequences, segments, pad_id=self._pad_id, rows=size, width=length)
        # A row without a single shown token has no defined attention: some runtimes make NaN.
        batch["attention_mask"][len(sequences) :, 0] = 1
        return self._networks[length, size].infer(batch)[: len(sequences)]


class SplitRunner:
    """Shares each batch out over several runners that hold the same model (data parallel).

    For a worker with several devices, each with a copy of the networks. Over several workers the
    gateway does the same: every input of a request goes to the least busy one.

    Args:
        runners: At least one; each is called from a thread of its own.
    """

    def __init__(self, runners: Sequence[Runner]) -> None:
        self._runners = tuple(runners)
        self._threads = ThreadPoolExecutor(len(runners), thread_name_prefix="split")
        self.max_len = min(runner.max_len for runner in runners)
        self.name = f"{runners[0].name}, {len(runners)} copies"

    def width(self, tokens: int) -> int:
        """As each of them."""
        return self._runners[0].width(tokens)

    def run(self, sequences: Sequence[Sequence[int]], segments: Sequence[bytes]) -> Floats:
        """Run a batch, a part on each; see `run_split`."""
        return run_split(sequences, segments, self._runners, self._threads)


def run_split(
    sequences: Sequence[Sequence[int]],
    segments: Sequence[bytes],
    runners: Sequence[Runner],
    threads: ThreadPoolExecutor,
) -> Floats:
    """Run one batch on several runners at once, with about as many padded tokens each.

    Args:
        sequences: Token ids.
        segments: See `Runner.run`.
        runners: All of the same model.
        threads: At least one a runner.
    """
    widths = [runners[0].width(len(sequence)) for sequence in sequences]
    shares = list(_shares(widths, len(runners)))
    running = [
        threads.submit(runner.run, sequences[begin:end], segments[begin:end])
        for runner, (begin, end) in zip(runners, shares, strict=False)
    ]
    return _stacked([one.result() for one in running])


def _shares(widths: Sequence[int], count: int) -> Iterator[tuple[int, int]]:
    """Up to `count` runs of neighbours with about the same sum; none is empty."""
    total, done, begin, part = sum(widths), 0, 0, 1
    for end, width in enumerate(widths, 1):
        done += width
        if done * count >= total * part:
            yield begin, end
            begin = end
            part = done * count // total + 1


def _stacked(parts: Sequence[Floats]) -> Floats:
    """Answers of several batches as one; what stands beyond a sequence's end is nobody's."""
    if parts[0].ndim < 3:
        return np.concatenate(parts)
    width = max(part.shape[1] for part in parts)
    stacked = np.zeros((sum(map(len, parts)), width, parts[0].shape[2]), np.float32)
    row = 0
    for part in parts:
        stacked[row : row + len(part), : part.shape[1]] = part
        row += len(part)
    return stacked


def _places(rows: int, batches: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """The batches that `rows` rows are run in: size, and the rows from and to."""
    begin = 0
    while begin < rows:
        left = rows - begin
        size = batches[-1] if left >= batches[-1] else _next_size(left, batches)
        yield size, begin, min(begin + size, rows)
        begin += size


@lru_cache(maxsize=4096)
def _next_size(rows: int, batches: tuple[int, ...]) -> int:
    """The first of the batches that run `rows` rows (at most the largest) at the least cost.

    A batch costs its rows and a fixed part, for which an eighth of the largest stands: several
    small calls are dearer than one that is nearly full, and cheaper than one that is nearly empty.
    """
    fixed = batches[-1] / 8
    costs, sizes = [0.0], [0]
    for left in range(1, rows + 1):
        cost, size = min((size + fixed + costs[max(left - size, 0)], size) for size in batches)
        costs.append(cost)
        sizes.append(size)
    return sizes[rows]
