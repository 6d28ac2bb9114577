"""All workers as the gateway sees them: a connection each, and the pools their engines feed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from pilotage.serve.models.replica import ReplicaListener
from pilotage.serve.pool import WorkerPool
from pilotage.serve.worker_link import WorkerLink


class Fleet:
    """The links to the workers.

    Args:
        sockets: The workers' sockets, in the order of their numbers.
        pools: The pool of every model.

    Attributes:
        links: One a worker.
        pools: The pools.
        worker_up: Called when a worker has said what it holds.
        worker_down: Called when one is gone.
    """

    def __init__(self, sockets: Sequence[str], pools: Mapping[str, WorkerPool]) -> None:
        self.links = tuple(WorkerLink(i, socket, self) for i, socket in enumerate(sockets))
        self.pools = pools
        self.worker_up: Callable[[WorkerLink], None] = _ignore
        self.worker_down: Callable[[WorkerLink], None] = _ignore

    async def run(self) -> None:
        """Keep links and queues going, for as long as the gateway lives."""
        async with asyncio.TaskGroup() as tasks:
            for link in self.links:
                tasks.create_task(link.run())
            for pool in self.pools.values():
                tasks.create_task(pool.run())

    def alive(self, within_s: float) -> bool:
        """Whether a worker was heard of so lately."""
        oldest = asyncio.get_running_loop().time() - within_s
        return any(link.up and link.last_sign > oldest for link in self.links)

    def pool_of(self, model: str) -> ReplicaListener | None:
        """See `pilotage.serve.worker_link.LinkListener`."""
        return self.pools.get(model)

    def on_worker_up(self, link: WorkerLink) -> None:
        """See `pilotage.serve.worker_link.LinkListener`."""
        self.worker_up(link)

    def on_worker_down(self, link: WorkerLink) -> None:
        """See `pilotage.serve.worker_link.LinkListener`."""
        self.worker_down(link)


def _ignore(_: WorkerLink) -> None:
    pass
