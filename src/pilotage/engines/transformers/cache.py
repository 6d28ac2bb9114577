"""The KV cache of a running batch: one row a sequence, tokens at their own positions.

Transformers' own dynamic cache appends a token by copying the whole cache and pads its rows to a
common right end. Here a row belongs to one sequence from its prefill to its end: a newcomer is
prefilled straight into a free row, a token is written in place, and a sequence that leaves costs
the copy of one row (the last one moves into the gap, so that the rows in use stay together and
attention reads a view of them). Buffers grow by doubling, up to the limits of the memory plan.

What lies beyond a row's own length is finite (zeros, or keys of somebody gone) and is masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


@dataclass(slots=True)
class Cursor:
    """Where the forward pass that is running writes and reads; all layers share it.

    Attributes:
        first: The first row.
        rows: How many rows.
        begin: Position of the first new token of a prefill.
        end: One past the last position that is read, over all rows.
        positions: In a decode step the position of every row's new token; None in a prefill.
        row_numbers: In a decode step the rows' numbers, to write with.
    """

    first: int = 0
    rows: int = 0
    begin: int = 0
    end: int = 0
    positions: torch.Tensor | None = None
    row_numbers: torch.Tensor | None = None


class TextLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers has no types
    """Keys and values of one self-attention layer, ``[rows, heads, positions, head_dim]``."""

    is_sliding = False

    def __init__(self, cursor: Cursor, max_rows: int, max_positions: int) -> None:
        super().__init__()
        self.keys: torch.Tensor | None = None
        self.values: torch.Tensor | None = None
        self._cursor = cursor
        self._max = (max_rows, max_positions)

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do before the first `update`."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new tokens; returns all that the rows hold."""
        at = self._cursor
        keys = self.keys = self._written(self.keys, key_states)
        values = self.values = self._written(self.values, value_states)
        self.is_initialized = True
        rows = slice(at.first, at.first + at.rows)
        return keys[rows, :, : at.end], values[rows, :, : at.end]

    def _written(self, held: torch.Tensor | None, new: torch.Tensor) -> torch.Tensor:
        at = self._cursor
        _, heads, _, width = new.shape
        held = grown(held, (at.first + at.rows, heads, at.end, width), like=new, limits=self._max)
        if at.positions is None:
            held[at.first, :, at.begin : at.end] = new[0]
        else:
            held[at.row_numbers, :, at.positions] = new[:, :, 0]
        return held

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row onto another."""
        for held in (self.keys, self.values):
            if held is not None:
                held[target, :, :length] = held[source, :, :length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of what attention reads."""
        del query_length
        return self._cursor.end, 0

    def get_seq_length(self) -> int:
        """Tokens before the new ones."""
        return self._cursor.begin

    def get_max_length(self) -> int:
        """No limit of its own."""
        return -1


class ImageLayer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of one cross-attention layer (Mllama).

    While a prompt with images is prefilled, `keys` and `values` are those of all its tiles. Later
    tokens look at some of the tiles only, and only those are kept in the sequence's row. A
    text-only sequence in a batch with others has zeros in its row: attention over zeros adds
    nothing, as if the layer were skipped, which is what the model does without images.
    """

    is_sliding = False

    def __init__(self, max_rows: int) -> None:
        super().__init__()
        self.keys: torch.Tensor | None = None
        self.values: torch.Tensor | None = None
        self._max_rows = max_rows
        self._rows: tuple[torch.Tensor, torch.Tensor] | None = None
        self._fresh: tuple[torch.Tensor, torch.Tensor] | None = None

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do before the first `update`."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take the images of the prompt that is being prefilled."""
        self._fresh = (key_states, value_states)
        self._show(self._fresh)
        return key_states, value_states

    def show_fresh(self) -> None:
        """For the next chunk of the same prompt."""
        self._show(self._fresh)

    def show_rows(self, rows: int, columns: int) -> None:
        """For a decode step over the first rows."""
        assert self._rows is not None
        keys, values = self._rows
        self._show((keys[:rows, :, :columns], values[:rows, :, :columns]))

    def hide(self) -> None:
        """For text without images: the model skips the layer."""
        self._show(None)

    def keep(self, row: int, columns: torch.Tensor | None) -> None:
        """Put the fresh images' columns into a row; None (no images) clears it."""
        if columns is None:
            for held in self._rows or ():
                if row < held.shape[0]:
                    held[row] = 0
            return
        assert self._fresh is not None
        chosen = [held[0].index_select(1, columns) for held in self._fresh]
        rows = self._rows or (None, None)
        grown_rows = []
        for held, new in zip(rows, chosen, strict=True):
            heads, count, width = new.shape
            buffer = grown(
                held, (row + 1, heads, count, width), like=new, limits=(self._max_rows, None)
            )
            buffer[row] = 0
            buffer[row, :, :count] = new
            grown_rows.append(buffer)
        self._rows = (grown_rows[0], grown_rows[1])
        self._fresh = None

    def cover(self, rows: int) -> None:
        """Make room for text-only rows beyond the last one with images."""
        if self._rows is None or self._rows[0].shape[0] >= rows:
            return
        keys, values = (
            grown(held, (rows, *held.shape[1:]), like=held, limits=(self._max_rows, None))
            for held in self._rows
        )
        self._rows = (keys, values)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row onto another."""
        del length
        for held in self._rows or ():
            if source < held.shape[0]:
                held[target] = held[source]
            elif target < held.shape[0]:
                held[target] = 0

    def _show(self, pair: tuple[torch.Tensor, torch.Tensor] | None) -> None:
        self.keys, self.values = pair or (None, None)
        self.is_initialized = pair is not None

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of what attention reads."""
        del query_length
        return 0 if self.keys is None else self.keys.shape[-2], 0

    def get_seq_length(self) -> int:
        """Vision tokens."""
        return self.get_mask_sizes(0)[0]

    def get_max_length(self) -> int:
        """No limit of its own."""
        return -1


class RowCache(Cache):  # type: ignore[misc]
    """The cache of a whole model, row by row."""

    def __init__(
        self, layers: int, image_layers: frozenset[int], max_rows: int, max_positions: int
    ) -> None:
        self.cursor = Cursor()
        self._text = [TextLayer(self.cursor, max_rows, max_positions) for _ in range(layers)]
        self.images = [ImageLayer(max_rows) for _ in image_layers]
        pending = iter(self.images)
        super().__init__(
            layers=[
                next(pending) if number in image_layers else self._text[number]
                for number in range(layers)
            ]
        )

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first ``length`` tokens of a row onto another row."""
        for layer in self.layers:
            layer.move(source, target, length)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens before the new ones."""
        del layer_idx
        return self.cursor.begin


def grown(
    held: torch.Tensor | None,
    needed: tuple[int, int, int, int],
    *,
    like: torch.Tensor,
    limits: tuple[int, int | None],
) -> torch.Tensor:
    """A buffer with room for ``needed``: the one there is, or a larger one with its contents."""
    if held is not None and held.shape[0] >= needed[0] and held.shape[2] >= needed[2]:
        return held
    before = (0, 0) if held is None else (held.shape[0], held.shape[2])
    rows = _doubled(before[0], needed[0], limits[0])
    columns = needed[2] if limits[1] is None else _doubled(before[1], needed[2], limits[1])
    columns = max(columns, before[1])
    larger = torch.zeros(
        (rows, needed[1], columns, needed[3]), dtype=like.dtype, device=like.device
    )
    if held is not None:
        larger[: before[0], :, : before[1]] = held
    return larger


def _doubled(before: int, needed: int, limit: int) -> int:
    size = max(1, before)
    while size < needed:
        size *= 2
    return max(before, needed, min(size, limit))
