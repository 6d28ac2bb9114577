"""What applying would change, resource by resource."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Action = Literal["add", "change", "replace", "maybe-replace", "remove"]
"""``replace``: made anew, the old one deleted; ``maybe-replace``: only the platform will know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One resource that would change.

    Attributes:
        action: What happens to it.
        name: Its name in what is rendered.
        type: Such as "AWS::ECS::Service".
        id: The platform's name of it; None as long as it is not there.
        fields: What of it changes, such as "Properties.DesiredCount"; empty where not known.
    """

    action: Action
    name: str
    type: str
    id: str | None = None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """All that would change.

    Attributes:
        where: What would change: "stack pilotage-receipts in us-east-1".
        changes: In the platform's order.
        new: Whether nothing is there yet.
        notes: What happens beside, such as a failed stack that is deleted first.
    """

    where: str
    changes: tuple[Change, ...]
    new: bool = False
    notes: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether what runs is what is rendered."""
        return not self.changes

    @property
    def replaced(self) -> tuple[Change, ...]:
        """What is, or may be, made anew or removed: state in it is lost."""
        return tuple(one for one in self.changes if one.action not in ("add", "change"))

    def as_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return asdict(self)
