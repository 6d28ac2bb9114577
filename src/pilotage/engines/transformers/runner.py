"""Forward passes: a chunk of one prompt, or one token of every running sequence."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from pilotage.engines.transformers.cache import RowCache
from pilotage.engines.transformers.sequence import Prompt, Sequence


class Runner:
    """A loaded model and the cache of its rows.

    Args:
        model: A transformers model with a language-model head, in eval mode on its device.
        max_rows: Sequences at once.
        max_positions: Longest sequence.
    """

    def __init__(self, model: Any, *, max_rows: int, max_positions: int) -> None:
        text = model.config.get_text_config(decoder=True)
        self.model = model
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        self._eager = text._attn_implementation == "eager"
        self._window, self._kinds = _windows(text)
        self._keep_last = "logits_to_keep" in inspect.signature(model.forward).parameters
        cross = frozenset(getattr(text, "cross_attention_layers", None) or ())
        self._patches = _patches_per_tile(model.config) if cross else 0
        self.cache = RowCache(text.num_hidden_layers, cross, max_rows, max_positions)

    def prefill(self, row: int, prompt: Prompt, begin: int, end: int) -> torch.Tensor:
        """Run tokens ``begin`` to ``end`` of a prompt into a row; the logits of the last one."""
        at = self.cache.cursor
        at.first, at.rows, at.begin, at.end, at.positions = row, 1, begin, end, None
        inputs: dict[str, Any] = dict(prompt.inputs) if begin == 0 else {}
        for layer in self.cache.images:
            if prompt.tiles is None or begin == 0:
                layer.hide()
            else:
                layer.show_fresh()
        if prompt.tiles is not None:
            inputs["cross_attention_mask"] = prompt.tiles[None, begin:end]
        positions = torch.arange(begin, end, device=self.device)
        keys = torch.arange(end, device=self.device)
        mask: Any = None
        # The model's own causal mask lets attention run without one, where there is no past.
        if begin > 0 or self._window is not None or self._eager:
            mask = self._masks(positions[:, None] - keys[None, :])
        ids = torch.tensor([prompt.ids[begin:end]], device=self.device)
        return self._forward(ids, positions[None], mask, inputs)[0]

    def finish_prefill(self, row: int, sequence: Sequence) -> None:
        """Keep of a prompt's images what its decode steps look at."""
        prompt = sequence.prompt
        assert prompt is not None
        columns = None
        if prompt.tiles is not None:
            seen = prompt.tiles[-1].reshape(-1).nonzero()[:, 0]
            sequence.tiles_seen = len(seen)
            places = torch.arange(self._patches, device=self.device)
            columns = (seen[:, None] * self._patches + places).reshape(-1)
        for layer in self.cache.images:
            layer.keep(row, columns)
        prompt.inputs, prompt.tiles = {}, None

    def decode(self, sequences: list[Sequence]) -> torch.Tensor:
        """One token of every sequence, which are in the first rows; logits ``[rows, vocab]``."""
        lengths = [sequence.cached for sequence in sequences]
        positions = torch.tensor(lengths, device=self.device)
        at = self.cache.cursor
        at.first, at.rows, at.begin, at.end = 0, len(sequences), max(lengths), max(lengths) + 1
        at.positions = positions
        at.row_numbers = torch.arange(len(sequences), device=self.device)
        keys = torch.arange(at.end, device=self.device)
        mask = self._masks((positions[:, None] - keys[None, :])[:, None])
        ids = torch.tensor([[sequence.next] for sequence in sequences], device=self.device)
        return self._forward(ids, positions[:, None], mask, self._look(sequences))

    def plain(self, ids: list[int]) -> torch.Tensor:
        """The last token's logits by one plain pass of the model, without our cache and masks."""
        output = self.model(input_ids=torch.tensor([ids], device=self.device), use_cache=False)
        logits: torch.Tensor = output.logits[0, -1]
        return logits

    def _look(self, sequences: list[Sequence]) -> dict[str, Any]:
        """What a decode step sees of the images."""
        most = max(sequence.tiles_seen for sequence in sequences)
        for layer in self.cache.images:
            if most == 0:
                layer.hide()
            else:
                layer.cover(len(sequences))
                layer.show_rows(len(sequences), most * self._patches)
        if most == 0:
            return {}
        seen = torch.tensor([s.tiles_seen for s in sequences], device=self.device)
        tiles = torch.arange(most, device=self.device)[None, :] < seen[:, None]
        return {"cross_attention_mask": tiles[:, None, None, :].to(torch.long)}

    def _forward(
        self, ids: torch.Tensor, positions: torch.Tensor, mask: Any, inputs: dict[str, Any]
    ) -> torch.Tensor:
        if self._keep_last:
            inputs["logits_to_keep"] = 1
        output = self.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self.cache,
            use_cache=True,
            **inputs,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _masks(self, distance: torch.Tensor) -> Any:
        """Masks of ``[rows, 1, queries, keys]`` from how far back every key lies.

        Models that mix full and sliding layers take one of each, by name.
        """
        if distance.dim() == 2:
            distance = distance[None]
        full = distance >= 0
        if self._window is None:
            return self._as_mask(full)
        sliding = full & (distance < self._window)
        if not self._kinds:
            return self._as_mask(sliding)
        both = {"full_attention": full, "sliding_attention": sliding}
        return {kind: self._as_mask(both[kind]) for kind in self._kinds}

    def _as_mask(self, allowed: torch.Tensor) -> torch.Tensor:
        allowed = allowed[:, None]
        if not self._eager:
            return allowed
        lowest = torch.finfo(self.dtype).min
        return torch.zeros_like(allowed, dtype=self.dtype).masked_fill(~allowed, lowest)


def _windows(text: Any) -> tuple[int | None, tuple[str, ...]]:
    """The sliding window, and the kinds of layers where the model tells them apart."""
    window = getattr(text, "sliding_window", None)
    kinds = tuple(dict.fromkeys(getattr(text, "layer_types", None) or ()))
    if not window or (kinds and "sliding_attention" not in kinds):
        return None, ()
    return int(window), kinds


def _patches_per_tile(config: Any) -> int:
    vision = config.vision_config
    return int((vision.image_size // vision.patch_size) ** 2 + 1)
