"""Prefix affinity: a prompt goes where its beginning was last, as the KV cache is still there.

A prompt is cut into blocks; the hash of a block covers all blocks before it, so that one look-up
a block finds the longest known beginning. What is kept is bounded, the least recently used first
to go.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Final, Generic, TypeVar

BLOCK: Final = 64
"""Tokens of a block: a few of the engine's, so that a shared "You are" does not tie anybody."""

_MOST_BLOCKS: Final = 128
"""Blocks of a prompt that are looked at; what agrees in 8,192 tokens belongs together."""

_REMEMBERED: Final = 1 << 16

K = TypeVar("K", bound=Hashable)


def block_hashes(prompt_ids: Sequence[int]) -> tuple[int, ...]:
    """A hash for every whole block of a prompt, each covering the prompt up to its end."""
    hashes: list[int] = []
    before = 0
    for end in range(BLOCK, min(len(prompt_ids), BLOCK * _MOST_BLOCKS) + 1, BLOCK):
        before = hash((before, *prompt_ids[end - BLOCK : end]))
        hashes.append(before)
    return tuple(hashes)


class PrefixAffinity(Generic[K]):
    """Which replica last had the beginnings of prompts.

    Args:
        remembered: Blocks that are kept.
    """

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._last: OrderedDict[int, K] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def given(self, hashes: Sequence[int], replica: K) -> None:
        """A prompt with these blocks went to a replica."""
        for block in reversed(hashes):  # the first block is used last: it is the last to go
            self._last[block] = replica
            self._last.move_to_end(block)
        while len(self._last) > self._remembered:
            self._last.popitem(last=False)

    def find(self, hashes: Sequence[int]) -> K | None:
        """The replica that last had the longest beginning of a prompt; None if nobody had any."""
        for block in reversed(hashes):
            if block in self._last:
                return self._last[block]
        return None

    def forget(self, replica: K) -> None:
        """A replica is gone, and its cache with it."""
        for block in [block for block, where in self._last.items() if where == replica]:
            del self._last[block]
