"""What an operator asks of a running server: models loaded and unloaded, aliases moved."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

ModelState = Literal["unloaded", "loading", "ready", "unloading", "failed"]


class ReplicaStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One copy of a model on one worker.

    Attributes:
        worker: The worker's number.
        device: The worker's slice, such as ``cpu:0-1``.
        state: How it is.
        running: Requests it holds.
        memory_bytes: What it takes there.
    """

    worker: int
    device: str
    state: ModelState
    running: int
    memory_bytes: int


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One model that the server knows.

    Attributes:
        name: What clients call it.
        source: Where it comes from.
        engine: Who runs it.
        task: What it does.
        state: The best state of its replicas; "unloaded" without any.
        replicas: One a worker that has it, or is getting it.
        queued: Requests that wait.
        last_used_s: Seconds since its last request; None before the first.
        error: Why loading failed, when it did.
    """

    name: str
    source: str
    engine: str
    task: str
    state: ModelState
    replicas: tuple[ReplicaStatus, ...] = ()
    queued: int = 0
    last_used_s: float | None = None
    error: str | None = None


class AliasTarget(msgspec.Struct, frozen=True):
    """A model behind an alias, and its share of the requests (relative to the other targets')."""

    model: str
    weight: float = 1.0


class ModelControl(Protocol):
    """Steers models; all of it may be called while requests run, and none fails for it."""

    def models(self) -> tuple[ModelStatus, ...]:
        """Every model, loaded or not."""

    async def load(self, name: str) -> ModelStatus:
        """Load a model on every worker that shall have it; returns when it is ready.

        Raises:
            UsageError: There is no such model.
            ResourceError: It does not fit into the memory budget beside what is in use.
            ModelError: Its files cannot be used.
        """

    async def unload(self, name: str) -> ModelStatus:
        """Let running requests finish, then free the memory; the next request loads it again.

        Raises:
            UsageError: There is no such model.
        """

    def aliases(self) -> dict[str, tuple[AliasTarget, ...]]:
        """Every alias and what is behind it."""

    def set_alias(self, name: str, targets: tuple[AliasTarget, ...]) -> None:
        """Make an alias or move it; requests that came before finish where they are.

        Raises:
            UsageError: A target is no model, a weight is no positive number, or the name is a
                model's.
        """

    def remove_alias(self, name: str) -> None:
        """Take an alias away.

        Raises:
            UsageError: There is none of that name.
        """
