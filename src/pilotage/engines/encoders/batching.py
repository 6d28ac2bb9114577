"""Which of the waiting sequences make the next batch: the oldest, and others as long as it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_PADDING: Final = 1 / 8
"""Share of a batch that may be padding."""

_FREE_TOKENS: Final = 64
"""Batches up to this size take about as long as smaller ones (the weights must be read anyway),
so that their padding costs nothing."""


def next_batch(widths: Sequence[int], max_tokens: int) -> list[int]:
    """Choose the sequences of the next batch.

    The oldest is always among them, so that none waits for ever. Its neighbours by length join,
    nearest first, while the batch stays within `max_tokens`, padding included, and little of it
    is padding.

    Args:
        widths: Tokens that each waiting sequence takes, in the order of arrival; at least one.
        max_tokens: Tokens of a batch; a single sequence may exceed it.

    Returns:
        Their places in `widths`, shortest first.
    """
    order = sorted(range(len(widths)), key=widths.__getitem__)
    low = high = order.index(0)
    tokens = widths[0]
    while True:
        candidates = []
        for place, new_low, new_high in ((low - 1, low - 1, high), (high + 1, low, high + 1)):
            if 0 <= place < len(order):
                size = widths[order[new_high]] * (new_high - new_low + 1)
                padding = size - tokens - widths[order[place]]
                if size <= max_tokens and (size <= _FREE_TOKENS or padding <= _PADDING * size):
                    candidates.append((padding, place, new_low, new_high))
        if not candidates:
            return order[low : high + 1]
        _, place, low, high = min(candidates)
        tokens += widths[order[place]]
