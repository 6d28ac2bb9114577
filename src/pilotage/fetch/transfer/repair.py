"""The second opinion on a file whose digest is wrong though the disk holds what arrived.

One digest vouches for the whole file, so it does not say which part is wrong. Part by part is
read from the origin once more and compared by its checksum. One that differs is read a third time
and written: of three readings, two that agree decide. After each batch in which bytes changed the
digest is taken anew, so that the search ends as soon as it can.
"""

from __future__ import annotations

from pilotage.fetch.transfer.plan import Extent


class Repair:
    """How far the search in one file is.

    Args:
        rounds: How often the whole file may be gone through.
    """

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.round = 0
        self._suspects: list[Extent] = []
        self._outstanding = 0
        self._changed_in_round = True
        self._changed = False

    def batch(self, extents: list[Extent], count: int) -> list[Extent]:
        """The next parts to compare; none when the search is over without success.

        Args:
            extents: All parts of the file, for a new round.
            count: Parts at once.
        """
        if not self._suspects:
            if self.round >= self.rounds or not self._changed_in_round:
                return []
            self.round += 1
            self._changed_in_round = False
            self._suspects = list(extents)
        chosen, self._suspects = self._suspects[:count], self._suspects[count:]
        self._outstanding = len(chosen)
        self._changed = False
        return chosen

    def settle(self, *, changed: bool) -> bool:
        """Note that one part was compared, and replaced if it `changed`; True after the last."""
        self._outstanding -= 1
        self._changed = self._changed or changed
        self._changed_in_round = self._changed_in_round or changed
        return self._outstanding == 0

    @property
    def changed(self) -> bool:
        """Whether the last batch changed the file."""
        return self._changed
