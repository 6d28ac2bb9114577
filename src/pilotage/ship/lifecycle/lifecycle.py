"""What can be done with a deployment that is rendered: difference, apply, status, destroy.

CloudFormation's targets share one lifecycle and Kubernetes' another (`lifecycle_of` gives them). A
target that is made in another way, such as through an API, has these four methods itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

from pilotage.ship.lifecycle.asking import Endpoint
from pilotage.ship.lifecycle.difference import Difference
from pilotage.ship.lifecycle.outcome import Applied, Destroyed, LogLine, Status
from pilotage.ship.lifecycle.progress import Say
from pilotage.ship.target import Rendered, Shipment

Agree = Callable[[Difference], bool]
"""Shown what would change, says whether it may. Not asked where nothing changes."""

AgreeToDestroy = Callable[[Status], bool]
"""Shown what runs, says whether it may go."""


@runtime_checkable
class Lifecycle(Protocol):
    """Where a deployment is, and how it gets somewhere else.

    There is no local state: what is there is what the platform says, known as ours by
    `Shipment.tags`. So each method can be killed at any moment and called again, and what is not
    tagged as this deployment's is never touched.
    """

    def diff(self, shipment: Shipment, rendered: Rendered) -> Difference:
        """What applying would change. Leaves nothing behind.

        Raises:
            PilotageError: The platform cannot be asked, or what is there is not ours.
        """
        ...

    def apply(self, shipment: Shipment, rendered: Rendered, *, agree: Agree, say: Say) -> Applied:
        """Make it so, and wait until the model answers.

        Raises:
            PilotageError: It did not come up; says what failed, and what the state is now.
        """
        ...

    def status(self, shipment: Shipment) -> Status:
        """What is there.

        Raises:
            PilotageError: The platform cannot be asked, or what is there is not ours.
        """
        ...

    def destroy(self, shipment: Shipment, *, agree: AgreeToDestroy, say: Say) -> Destroyed:
        """Take it away, and say what is left.

        Raises:
            PilotageError: Something could not be taken away; says what, and how to go on.
        """
        ...


@runtime_checkable
class HasEndpoint(Protocol):
    """A lifecycle whose endpoint can be asked from here."""

    def endpoint(self, shipment: Shipment) -> Endpoint:
        """What is asked for completions.

        Raises:
            TargetError: Nothing is there, or it cannot be asked.
        """
        ...


@runtime_checkable
class HasWeights(Protocol):
    """A lifecycle that can look at the weights on the hosts."""

    def weights(self, shipment: Shipment) -> tuple[str, ...]:
        """What lies there, or why that is not known: a sentence a host."""
        ...


@runtime_checkable
class HasLogs(Protocol):
    """A lifecycle that can read what its replicas wrote."""

    def logs(
        self, shipment: Shipment, *, since_s: float, most: int, follow: bool
    ) -> Iterator[LogLine]:
        """The last ``most`` lines of the last ``since_s`` seconds, then, with ``follow``, more."""
        ...
