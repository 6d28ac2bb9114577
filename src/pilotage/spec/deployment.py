"""A whole spec: one deployment, or a portfolio of deployments under one budget."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from pilotage.spec.budget import BudgetSpec
from pilotage.spec.fields import Section
from pilotage.spec.model import ModelSpec
from pilotage.spec.routing import RoutingSpec
from pilotage.spec.serving import ServingSpec
from pilotage.spec.shipping import ShippingSpec
from pilotage.spec.slo import SloSpec
from pilotage.spec.workload import WorkloadSpec

DEFAULT_TTFT_TARGET = 2.0
"""Seconds to the first token that admission aims at when no SLO says otherwise."""


class Deployment(Section):
    """One model behind one endpoint. ``Deployment()`` serves the embedded model."""

    name: str = Field(
        default="default",
        pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        description="Name of the deployment: lower-case letters, digits and hyphens, at most 63.",
    )
    model: ModelSpec = Field(
        default=ModelSpec(), description="Which model, from where, run by which engine."
    )
    workload: WorkloadSpec | None = Field(
        default=None, description="How requests arrive and how long they are. Plans need it."
    )
    slo: SloSpec = Field(default=SloSpec(), description="The latency that is promised.")
    budget: BudgetSpec | None = Field(default=None, description="What it may cost.")
    serving: ServingSpec = Field(
        default=ServingSpec(), description="How one machine serves the model."
    )
    routing: RoutingSpec | None = Field(
        default=None, description="Tiers of models, and which of them answers what."
    )
    shipping: ShippingSpec | None = Field(
        default=None, description="Where it runs when it is shipped."
    )

    @property
    def model_name(self) -> str:
        """The name clients put into ``"model"``: the routed one where there are tiers."""
        return self.model.name if self.routing is None else self.routing.model

    @property
    def ttft_target(self) -> float:
        """Seconds to the first token that admission control aims at.

        The promised ``slo.ttft_p99``, or 2 s when none is given: long enough that a short burst
        waits its turn, short enough that nobody waits for an answer that comes too late.
        """
        return DEFAULT_TTFT_TARGET if self.slo.ttft_p99 is None else self.slo.ttft_p99

    @property
    def queue_timeout(self) -> float:
        """Seconds a request may wait before it runs: as given, or the TTFT target."""
        given = self.serving.queue_timeout
        return self.ttft_target if given is None else given


class Portfolio(Section):
    """Several deployments under one budget."""

    deployments: tuple[Deployment, ...] = Field(
        strict=False, min_length=1, description="The deployments, each with a name of its own."
    )
    budget: BudgetSpec | None = Field(
        default=None, description="What all of them together may cost."
    )

    @property
    def names(self) -> tuple[str, ...]:
        """The deployments' names, in the order of the file."""
        return tuple(deployment.name for deployment in self.deployments)

    @field_validator("deployments")
    @classmethod
    def _names_differ(cls, deployments: tuple[Deployment, ...]) -> tuple[Deployment, ...]:
        seen: set[str] = set()
        for index, deployment in enumerate(deployments):
            if deployment.name in seen:
                raise PydanticCustomError(
                    "duplicate_name",
                    'the name "{name}" is taken by an earlier deployment; each needs its own',
                    {"name": deployment.name, "path": (index, "name")},
                )
            seen.add(deployment.name)
        return deployments
