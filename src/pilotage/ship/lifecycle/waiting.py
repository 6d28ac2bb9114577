"""How waits are done: how often something is asked, and how long at most."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from pilotage.errors import TargetError
from pilotage.units import format_duration


class TooLongError(TargetError):
    """What was waited for did not come; it still may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Patience.

    Attributes:
        poll_s: Seconds between two questions.
        limit_s: Seconds that one wait takes at most, beyond which the platform has no hope.
    """

    poll_s: float = 5.0
    limit_s: float = 3 * 3600.0

    def rounds(self, what: str) -> Iterator[int]:
        """One round a question: the first at once, the others after a pause each.

        Args:
            what: Is waited for, for the error.

        Raises:
            TooLongError: It took longer than `limit_s`.
        """
        end = time.monotonic() + self.limit_s
        number = 0
        while True:
            yield number
            number += 1
            if time.monotonic() > end:
                raise TooLongError(
                    f"{what} took longer than {format_duration(self.limit_s, digits=3)}",
                    hint="It may still come: the same command goes on waiting, status shows it",
                )
            time.sleep(self.poll_s)
