"""The second lesson: eyes and words learn together, so that what is seen is where words find it.

Tried without this lesson, words over eyes that were finished without them stayed at 93 %.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from scripts.shapes.album import Album
from scripts.shapes.eyes_lesson import look
from scripts.shapes.patch_heads import PatchHeads
from scripts.shapes.schedule import Schedule
from scripts.shapes.stepping import Stepper
from scripts.shapes.team import Team
from scripts.shapes.words_lesson import answers, rows_of

_WEIGHT_OF_LABELS = 0.3


def teach_together(
    model: Any, tokenizer: Any, album: Album, *, schedule: Schedule, seed: int, team: Team
) -> None:
    """Moves all weights of `model`; the team's first process prints how it goes."""
    torch.manual_seed(seed)
    heads = PatchHeads(model.config.text_config.hidden_size)
    stepper = Stepper([*model.parameters(), *heads.parameters()], schedule, team)
    order, asking = np.random.default_rng([seed, 6]), np.random.default_rng([seed, 7, team.rank])
    began, losses = time.monotonic(), []
    model.train()
    for step in range(1, schedule.steps + 1):
        batch = order.permutation(len(album.scenes))[: schedule.batch]
        indices = batch[team.rank :: team.size]
        seen = look(model, album, indices)
        rows = rows_of(tokenizer, album, indices, asking)
        logits, targets = answers(model, album, indices, rows, seen)
        loss = torch.nn.functional.cross_entropy(logits, targets)
        stepper.step(
            step, loss + _WEIGHT_OF_LABELS * heads.losses(seen, album.labels[indices]).sum()
        )
        losses.append(loss.item())
        if team.rank == 0 and step % 100 == 0:
            mean = float(np.mean(losses[-100:]))
            print(f"together {step} {time.monotonic() - began:.0f} s loss {mean:.4f}", flush=True)
