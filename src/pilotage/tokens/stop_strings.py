"""Stop strings in a text that arrives in pieces."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Finds the first stop string and releases text as soon as no stop string can begin in it.

    The stop string that is complete first wins; of several that are complete at the same
    character, the longest. So what is released depends on the text alone and never on how it
    was cut into pieces. Knuth, Morris and Pratt's matcher for each stop string: the time is
    linear in the text, and each character is held back at most once.

    Args:
        stops: The stop strings; none of them empty. Without any, all text passes at once.
        include: Release the stop string too.

    Raises:
        ValueError: A stop string is empty.
    """

    def __init__(self, stops: Sequence[str], *, include: bool = False) -> None:
        if not all(stops):
            raise ValueError("a stop string must have at least one character")
        self._matchers = [_Matcher(stop) for stop in dict.fromkeys(stops)]
        self._include = include
        self._held = ""
        self._matched: str | None = None

    @property
    def matched(self) -> str | None:
        """The stop string that was found."""
        return self._matched

    def push(self, text: str) -> tuple[str, bool]:
        """Take the next piece of the text.

        Returns:
            The text that may be released now, and whether a stop string was found. Text that
            comes after a stop string is dropped.
        """
        if self._matched is not None:
            return "", True
        found = [
            (end, -len(matcher.stop), matcher.stop)
            for matcher in self._matchers
            if (end := matcher.feed(text)) is not None
        ]
        known = self._held + text
        if found:
            end, _, self._matched = min(found)
            end += len(self._held)
            self._held = ""
            return known[: end if self._include else end - len(self._matched)], True
        sure = len(known) - max((matcher.depth for matcher in self._matchers), default=0)
        self._held = known[sure:]
        return known[:sure], False

    def flush(self) -> str:
        """The text still held back; call it when the text has ended."""
        held, self._held = self._held, ""
        for matcher in self._matchers:
            matcher.depth = 0
        return held


class _Matcher:
    """Looks for one stop string.

    Attributes:
        depth: How many of its first characters the text so far ends with.
    """

    def __init__(self, stop: str) -> None:
        self.stop = stop
        self.depth = 0
        # borders[n] is the length of the longest proper prefix of stop[:n] that also ends it.
        self._borders = [0, 0]
        border = 0
        for character in stop[1:]:
            while border and character != stop[border]:
                border = self._borders[border]
            border += character == stop[border]
            self._borders.append(border)

    def feed(self, text: str) -> int | None:
        """Read on; returns where in `text` the stop string is first complete, if it is."""
        stop, borders, depth = self.stop, self._borders, self.depth
        position = 0
        while position < len(text):
            if not depth:
                # Nothing has begun: str.find skips to where something may, at the speed of C.
                position = text.find(stop[0], position)
                if position < 0:
                    break
            character = text[position]
            while depth and character != stop[depth]:
                depth = borders[depth]
            depth += character == stop[depth]
            position += 1
            if depth == len(stop):
                self.depth = 0
                return position
        self.depth = depth
        return None
