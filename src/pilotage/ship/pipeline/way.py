"""What a platform's workflow does in each of its stages."""

from __future__ import annotations

from typing import Protocol

from pilotage.ship.pipeline.question import Pipeline
from pilotage.ship.pipeline.text import Step


class Way(Protocol):
    """How a platform is brought to run a spec, by steps of a job."""

    @property
    def has_canary(self) -> bool:
        """Whether the spec runs beside itself first."""
        ...

    @property
    def has_key(self) -> bool:
        """Whether the model is asked with an API key."""
        ...

    def variables(self, pipeline: Pipeline) -> tuple[tuple[str, str], ...]:
        """Variables of the environments, beside the role: name, and what is in it."""
        ...

    def ready(self, pipeline: Pipeline) -> list[Step]:
        """What has to be there before the rest: a cluster's address, a tool."""
        ...

    def difference(self, pipeline: Pipeline) -> list[Step]:
        """Says what would change, in the summary. Changes nothing."""
        ...

    def change(self, pipeline: Pipeline, *, alone: bool) -> list[Step]:
        """Makes it so.

        Args:
            pipeline: What the workflow is for.
            alone: The canary, not the real one.
        """
        ...

    def ask(self, pipeline: Pipeline, *, alone: bool) -> list[Step]:
        """Asks it for completions; fails when one does not come.

        Args:
            pipeline: What the workflow is for.
            alone: The canary, not the real one.
        """
        ...

    def prove(self, pipeline: Pipeline) -> list[Step]:
        """Holds the canary against the SLO; nothing where the platform cannot be asked so."""
        ...

    def remove(self, pipeline: Pipeline) -> list[Step]:
        """Takes the canary away."""
        ...
