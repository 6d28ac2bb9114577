"""The first lesson: the eyes learn from labels of patches, and to count.

Answers alone teach eyes slowly: until words look at the right patch nothing says what is there.
Labels say it from the first step. The readers of the labels are thrown away afterwards.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from scripts.shapes.album import Album
from scripts.shapes.eyes import MAX_TILES
from scripts.shapes.patch_heads import LESSONS, PatchHeads
from scripts.shapes.scene import COLOURS, SHAPES
from scripts.shapes.schedule import Schedule
from scripts.shapes.stepping import Stepper
from scripts.shapes.team import Team
from torch import nn

_MOST = 5
"""Counts run from 0 to 4."""

_WEIGHT_OF_COUNTS = 6.0
"""There are eleven counts a picture, averaged, beside four lessons of patches."""


def teach_eyes(model: Any, album: Album, schedule: Schedule, seed: int, team: Team) -> None:
    """Moves the vision weights of `model`; the team's first process prints how it goes."""
    torch.manual_seed(seed)
    width = model.config.text_config.hidden_size
    heads = PatchHeads(width)
    wanted = _counts(album)
    tally = nn.Linear(width, wanted.shape[1] * _MOST)
    vision = [p for name, p in model.named_parameters() if is_eye(name)]
    stepper = Stepper([*vision, *heads.parameters(), *tally.parameters()], schedule, team)
    order = np.random.default_rng([seed, 2])
    began, losses = time.monotonic(), []
    model.train()
    for step in range(1, schedule.steps + 1):
        batch = order.permutation(len(album.scenes))[: schedule.batch]
        indices = batch[team.rank :: team.size]
        seen = look(model, album, indices)
        patch_losses = heads.losses(seen, album.labels[indices])
        counted = tally(seen[:, 0, 0]).view(-1, _MOST)
        count_loss = nn.functional.cross_entropy(counted, wanted[indices].reshape(-1))
        stepper.step(step, patch_losses.sum() + _WEIGHT_OF_COUNTS * count_loss)
        losses.append([*patch_losses.tolist(), count_loss.item()])
        if team.rank == 0 and step % 100 == 0:
            means = np.mean(losses[-100:], axis=0)
            told = zip((*LESSONS, "count"), means, strict=True)
            words = " ".join(f"{name} {mean:.3f}" for name, mean in told)
            print(f"eyes {step} {time.monotonic() - began:.0f} s {words}", flush=True)


def is_eye(name: str) -> bool:
    """Whether a parameter of this name is one of the eyes'."""
    return "vision_model" in name or "multi_modal_projector" in name


def tiles_filled(album: Album, indices: np.ndarray[Any, Any]) -> torch.Tensor:
    """Which tiles of some pictures are filled: (pictures, tiles)."""
    return torch.arange(MAX_TILES) < torch.from_numpy(album.tile_counts[indices])[:, None]


def look(model: Any, album: Album, indices: np.ndarray[Any, Any]) -> torch.Tensor:
    """What the words see of some pictures: (pictures, tiles, 1 + patches, width)."""
    vision = model.model.vision_model(
        pixel_values=torch.from_numpy(album.pixel_values(indices))[:, None],
        aspect_ratio_ids=torch.from_numpy(album.aspect_ratio_ids[indices])[:, None],
        aspect_ratio_mask=tiles_filled(album, indices)[:, None].long(),
    )
    seen: torch.Tensor = model.model.multi_modal_projector(vision.last_hidden_state)[:, 0]
    return seen


def _counts(album: Album) -> torch.Tensor:
    """How many figures of each shape, of each colour, and in all: (pictures, counts)."""
    return torch.tensor(
        [
            [sum(figure.shape == shape for figure in scene.figures) for shape in SHAPES]
            + [sum(figure.colour == colour for figure in scene.figures) for colour in COLOURS]
            + [len(scene.figures)]
            for scene in album.scenes
        ]
    )
