"""What a lifecycle finds and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from pilotage.ship.lifecycle.difference import Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """Copies of the model.

    Attributes:
        desired: How many there should be.
        running: How many run.
        healthy: How many the balancer sends requests to; None where nothing is known of it.
    """

    desired: int
    running: int
    healthy: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is there.

    Attributes:
        name: The stack's, release's or function's.
        state: The platform's word; "absent" where nothing is there.
        address: Where it is reached, with its scheme.
        replicas: None where the platform runs the model.
        since: When it was made.
        outputs: What the template gives out.
        details: Whatever else: deployments under way, alarms that ring, the last events.
    """

    name: str
    state: str
    address: str | None = None
    replicas: Replicas | None = None
    since: datetime | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    details: tuple[str, ...] = ()

    @property
    def absent(self) -> bool:
        """Whether nothing is there."""
        return self.state == "absent"

    def as_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return {**asdict(self), "since": self.since.isoformat() if self.since else None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What came of applying.

    Attributes:
        difference: What was to change.
        applied: Whether it was; False where nothing was to change, or no one agreed.
        agreed: Whether it was allowed.
        status: What is there now; None where no one agreed.
        answered: Whether a real completion came back. False where that could not be asked.
    """

    difference: Difference
    applied: bool
    agreed: bool = True
    status: Status | None = None
    answered: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return {
            "difference": self.difference.as_dict(),
            "applied": self.applied,
            "agreed": self.agreed,
            "status": self.status.as_dict() if self.status else None,
            "answered": self.answered,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that is kept after the deployment is gone.

    Attributes:
        type: Such as "AWS::Logs::LogGroup".
        id: Its name or ARN.
        size_bytes: What it holds; None where not known.
        usd_per_month: What keeping it costs; None where not known.
        remove: The command that removes it.
    """

    type: str
    id: str
    size_bytes: int | None = None
    usd_per_month: float | None = None
    remove: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroyed:
    """What came of destroying.

    Attributes:
        name: The stack's, release's or function's.
        agreed: Whether it was allowed.
        existed: Whether anything was there.
        leftovers: What is kept.
        hours: How long it was there; None where not known.
    """

    name: str
    agreed: bool = True
    existed: bool = True
    leftovers: tuple[Leftover, ...] = ()
    hours: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a log.

    Attributes:
        at: When it was written.
        stream: Which replica's.
        text: The line.
    """

    at: datetime
    stream: str
    text: str
