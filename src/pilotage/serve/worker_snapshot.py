"""A worker as the metrics show it: from its board, its link and its models."""

from __future__ import annotations

from collections.abc import Sequence

from pilotage.serve.board import Board
from pilotage.serve.control import ModelStatus
from pilotage.serve.telemetry.snapshot import ReplicaSnapshot, WorkerSnapshot
from pilotage.serve.worker_link import WorkerLink


def worker_snapshot(
    link: WorkerLink, board: Board, device: str, statuses: Sequence[ModelStatus]
) -> WorkerSnapshot:
    """A worker now.

    Args:
        link: The connection to it.
        board: Its counters.
        device: Its slice, for people.
        statuses: All models.
    """
    up = [replica for replica in link.replicas.values() if replica.info is not None]
    tokens = sum(replica.info.kv_cache_tokens for replica in up if replica.info)
    used = sum(
        replica.kv_cache_usage * replica.info.kv_cache_tokens for replica in up if replica.info
    )
    return WorkerSnapshot(
        worker=str(link.index),
        up=link.up,
        restarts=board.restarts,
        running_requests=sum(len(replica.held) for replica in up),
        kv_cache_usage_ratio=used / tokens if tokens else 0.0,
        kv_cache_tokens=tokens,
        prefill_tokens_per_s=max((r.prefill_tokens_per_s for r in up), default=0.0),
        device=device,
        models=tuple(
            ReplicaSnapshot(
                model=status.name,
                memory_bytes=replica.memory_bytes,
                running_requests=replica.running,
            )
            for status in statuses
            for replica in status.replicas
            # An engine that is a server of its own has a worker number, but no worker.
            if replica.worker == link.index and replica.device == device
        ),
    )
