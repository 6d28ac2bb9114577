"""How a fetch tells its caller how far it is; a fetch itself prints nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """What is being done."""

    WAIT = "wait"
    DOWNLOAD = "download"
    UNPACK = "unpack"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one phase is.

    Attributes:
        phase: The phase. In `Phase.WAIT` another process fetches the model; no bytes are counted.
        file: The name of the file concerned; of the one last heard of, when several files arrive
            at once. In `Phase.WAIT`, who is waited for.
        done: Bytes so far; of all files together, when several arrive at once.
        total: Bytes in all, in the same sense; None while unknown.
    """

    phase: Phase
    file: str
    done: int
    total: int | None


ProgressListener = Callable[[Progress], None]
"""Called often, from one thread at a time; an exception it raises ends the fetch cleanly."""


def unheard(progress: Progress) -> None:
    """The listener of a caller that does not listen."""
