"""How a fetch tells its caller how far it is; a fetch itself prints nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """What is being done."""

    DOWNLOAD = "download"
    UNPACK = "unpack"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one phase is.

    Attributes:
        phase: The phase; phases follow one another and none comes twice for one file.
        file: The name of the file concerned.
        done: Bytes so far.
        total: Bytes in all; None while unknown.
    """

    phase: Phase
    file: str
    done: int
    total: int | None


ProgressListener = Callable[[Progress], None]
"""Called often, from the fetching thread; an exception it raises ends the fetch cleanly."""


def unheard(progress: Progress) -> None:
    """The listener of a caller that does not listen."""
