"""What a target is: it renders files, and says how they are applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pilotage.ship.graph import Graph
from pilotage.ship.sizing import Sizing
from pilotage.spec import Deployment
from pilotage.spec.plan_file import PlanFile
from pilotage.spec.shipping import ShippingSpec, TargetName


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """What is to be shipped.

    Attributes:
        deployment: The spec.
        shipping: Its section, defaults filled in.
        target: Which platform.
        sizing: The numbers.
        plan: The plan it follows; None where there is none to follow (local, given instances).
    """

    deployment: Deployment
    shipping: ShippingSpec
    target: TargetName
    sizing: Sizing
    plan: PlanFile | None = None

    @property
    def name(self) -> str:
        """The stack's, release's or function's name: the deployment's with a prefix."""
        return f"pilotage-{self.deployment.name}"

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of everything made, by which it is known as ours."""
        return {
            **self.shipping.tags,
            "pilotage:deployment": self.deployment.name,
            "pilotage:target": self.target,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A deployment as text.

    Attributes:
        files: Text by path, relative to the output folder; what a person reviews.
        graph: The AWS resources, where there are some; what rules are checked on.
        notes: What the reviewer should know: plain HTTP, spare capacity, what is not covered.
        warnings: What is dangerous and was asked for.
    """

    files: Mapping[str, str]
    graph: Graph | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)


class Target(Protocol):
    """One platform."""

    def render(self, shipment: Shipment) -> Rendered:
        """All files of the deployment.

        Raises:
            UsageError: The platform cannot run it; says which field, which limit, and the fix.
        """
        ...
