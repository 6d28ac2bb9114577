"""What a lifecycle says while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Step = Literal[
    "check", "change", "stack", "capacity", "targets", "completion", "rollback", "scale", "delete",
    "leftovers", "render",
]  # fmt: skip
"""Which part of the work a note is from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One thing that happened, or that is waited for.

    Attributes:
        step: Of the work.
        text: For people.
        what: The resource concerned, if there is one.
        state: The platform's word for its state.
        bad: Whether it is a failure.
    """

    step: Step
    text: str
    what: str | None = None
    state: str | None = None
    bad: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return asdict(self)


Say = Callable[[Note], None]
"""Called with each note, in order."""


def silent(note: Note) -> None:
    """A `Say` that drops everything."""
    del note
