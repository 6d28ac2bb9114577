"""How the models of a running server are, for operators."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import TypeAlias

from pilotage.serve.config import PlacedEngine
from pilotage.serve.control import ModelState, ModelStatus, ReplicaStatus
from pilotage.serve.models.fleet import Fleet
from pilotage.serve.models.managed import ManagedModel

_Wanted: TypeAlias = Collection[tuple[str, int]]


def model_status(
    model: ManagedModel, fleet: Fleet, devices: Sequence[str], wanted: _Wanted
) -> ModelStatus:
    """How a model is.

    Args:
        model: The model.
        fleet: The workers.
        devices: Their slices, for people.
        wanted: The pairs of model and worker that there shall be.
    """
    replicas = tuple(
        status
        for placed in model.config.placed
        if (status := _replica_status(model, placed, fleet, devices, wanted)) is not None
    )
    states = {replica.state for replica in replicas}
    best: ModelState = "unloaded" if model.failure is None else "failed"
    for state in ("unloading", "loading", "ready"):
        if state in states:
            best = state
    used = model.pool.last_used
    return ModelStatus(
        name=model.name,
        source=model.config.source,
        engine=model.config.engine,
        task=model.config.task,
        state=best,
        replicas=replicas,
        queued=model.pool.state().queued_requests,
        last_used_s=None if used is None else asyncio.get_running_loop().time() - used,
        error=None if model.failure is None else str(model.failure),
    )


def _replica_status(
    model: ManagedModel,
    placed: PlacedEngine,
    fleet: Fleet,
    devices: Sequence[str],
    wanted: _Wanted,
) -> ReplicaStatus | None:
    link = fleet.links[placed.worker]
    copies = link.copies(model.name)
    state: ModelState
    if any(replica.up and not replica.leaving for replica in copies):
        state = "ready"
    elif any(replica.up for replica in copies):
        state = "unloading"
    elif (model.name, placed.worker) in wanted:
        state = "loading"
    else:
        return None
    return ReplicaStatus(
        worker=placed.worker,
        device=devices[placed.worker],
        state=state,
        running=sum(len(replica.held) for replica in copies),
        memory_bytes=placed.config.memory_bytes * placed.copies,
    )
