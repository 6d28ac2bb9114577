"""Provisioned throughput of Bedrock: a purchase, which a person agrees to and nobody rehearses."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.ship.pipeline.commands import ship, told
from pilotage.ship.pipeline.question import Pipeline
from pilotage.ship.pipeline.steps import runs
from pilotage.ship.pipeline.text import Step


@dataclass(frozen=True, slots=True)
class Units:
    """See `Way`. A canary would buy model units of its own, so there is none, and no way back."""

    @property
    def has_canary(self) -> bool:
        """See `Way`."""
        return False

    @property
    def has_key(self) -> bool:
        """See `Way`."""
        return False

    def variables(self, pipeline: Pipeline) -> tuple[tuple[str, str], ...]:
        """See `Way`."""
        del pipeline
        return ()

    def ready(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`."""
        del pipeline
        return []

    def difference(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`."""
        return [runs("What would be bought", told("What would be bought", ship(pipeline, "diff")))]

    def change(self, pipeline: Pipeline, *, alone: bool) -> list[Step]:
        """See `Way`."""
        del alone
        return [runs("Buy what was approved", ship(pipeline, "apply", "--yes"), id="apply")]

    def ask(self, pipeline: Pipeline, *, alone: bool) -> list[Step]:
        """See `Way`: model units have no address of their own; their state is looked at."""
        del alone
        return [runs("What is bought", told("What is bought", ship(pipeline, "status")))]

    def prove(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`."""
        del pipeline
        return []

    def remove(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`."""
        del pipeline
        return []
