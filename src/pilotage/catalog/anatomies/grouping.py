"""Layers one by one into groups of equal ones."""

from __future__ import annotations

from collections.abc import Iterable

from pilotage.catalog.anatomy import Attention, FeedForward, Layers

Block = tuple[Attention, FeedForward, int]
"""One layer: attention, feed-forward, parameters of its norms."""


def grouped(blocks: Iterable[Block]) -> tuple[Layers, ...]:
    """Equal layers together, in the order in which each kind first appears."""
    counts: dict[Block, int] = {}
    for block in blocks:
        counts[block] = counts.get(block, 0) + 1
    return tuple(
        Layers(count=count, attention=attention, feed_forward=feed_forward, norm_parameters=norms)
        for (attention, feed_forward, norms), count in counts.items()
    )
