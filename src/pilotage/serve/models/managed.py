"""The models of a running server, as their manager knows them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from pilotage.errors import PilotageError
from pilotage.serve.api.context import ServedModel
from pilotage.serve.config import ModelConfig, PlacedEngine
from pilotage.serve.control import ModelStatus
from pilotage.serve.pool import WorkerPool


class ExternalModel(Protocol):
    """A model whose engine is a server of its own: always loaded, none of the workers' business."""

    @property
    def served(self) -> ServedModel:
        """How the API sees it."""

    def status(self) -> ModelStatus:
        """How it is."""


@dataclass(slots=True)
class ManagedModel:
    """A model that workers hold.

    Attributes:
        config: What is known of it from the start.
        served: How the API sees it.
        pool: Its requests.
        loading: The load that is under way, or was.
        loaded_at: When it was last loaded, on the event loop's clock.
        failure: Why it could not be loaded the last time.
        failed_until: Until when that is not tried again for a request.
    """

    config: ModelConfig
    served: ServedModel
    pool: WorkerPool
    loading: asyncio.Task[None] | None = None
    loaded_at: float = 0.0
    failure: PilotageError | None = None
    failed_until: float = 0.0

    @property
    def name(self) -> str:
        """What clients call it."""
        return self.config.name

    def on(self, worker: int) -> PlacedEngine | None:
        """How it is opened on a worker; None where it is not to be."""
        return next((placed for placed in self.config.placed if placed.worker == worker), None)
