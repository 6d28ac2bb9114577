"""Processes that train one model together, a thread each.

Two processes of one thread keep two cores busier than one process of two threads: so small a
model gives the threads little to share out, and on a machine that others use as well each
operation would wait for the slower one. The team meets once a step, to average gradients.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Team:
    """One member's view.

    Attributes:
        rank: Its number, from 0.
        size: Members.
    """

    rank: int
    size: int

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Gives every member the mean of all members' gradients."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(together)
        together /= self.size
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, mean in zip(gradients, together.split(sizes), strict=True):
            gradient.copy_(mean.view_as(gradient))


def work_together(size: int, work: Callable[[Team], None]) -> None:
    """Calls `work` in `size` processes at once, one of them this one, and waits for all.

    Raises:
        RuntimeError: Another member failed.
    """
    torch.set_num_threads(1)
    # Forked, so that the pictures are in memory once.
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        others = [
            fork.Process(target=_join, args=(Team(rank, size), meeting, work), daemon=True)
            for rank in range(1, size)
        ]
        for other in others:
            other.start()
        _join(Team(0, size), meeting, work)
        for other in others:
            other.join()
        if any(other.exitcode for other in others):
            raise RuntimeError("a member of the team failed")


def _join(team: Team, meeting: Path, work: Callable[[Team], None]) -> None:
    if team.size > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=team.rank, world_size=team.size
        )
    work(team)
    if team.size > 1:
        dist.destroy_process_group()
