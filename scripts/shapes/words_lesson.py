"""The third lesson: the words learn to answer, from what the finished eyes see.

The eyes no longer move, so every picture is looked at once, and a step costs words only.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from scripts.shapes.album import Album
from scripts.shapes.eyes_lesson import is_eye, look, tiles_filled
from scripts.shapes.packing import Row, Rows, pack_row, pad_rows
from scripts.shapes.questions import KINDS, Question, questions
from scripts.shapes.scene import Scene
from scripts.shapes.schedule import Schedule
from scripts.shapes.stepping import Stepper
from scripts.shapes.team import Team
from scripts.shapes.tokenizer import SYSTEM_MESSAGES

_ASKED = 6
"""Questions a picture and step."""

_SHARES = {"colour": 2.0, "count": 1.5, "where": 1.5, "shape": 3.0, "digit": 2.0, "describe": 1.2}
"""How often each kind is asked; descriptions are long, and would drown the others."""

_AT_ONCE = 128


def teach_words(
    model: Any,
    tokenizer: Any,
    *,
    album: Album,
    watched: Album,
    schedule: Schedule,
    seed: int,
    team: Team,
) -> None:
    """Moves the text weights of `model`; the team's first process prints how it goes."""
    seen, seen_watched = _look_at_all(model, album), _look_at_all(model, watched)
    moved = [parameter for name, parameter in model.named_parameters() if not is_eye(name)]
    stepper = Stepper(moved, schedule, team)
    order, asking = np.random.default_rng([seed, 4]), np.random.default_rng([seed, 5, team.rank])
    began, losses = time.monotonic(), []
    model.train()
    for step in range(1, schedule.steps + 1):
        batch = order.permutation(len(album.scenes))[: schedule.batch]
        indices = batch[team.rank :: team.size]
        rows = rows_of(tokenizer, album, indices, asking)
        logits, targets = answers(model, album, indices, rows, seen[indices])
        loss = torch.nn.functional.cross_entropy(logits, targets)
        stepper.step(step, loss)
        losses.append(loss.item())
        if team.rank == 0 and step % 100 == 0:
            mean = float(np.mean(losses[-100:]))
            print(f"words {step} {time.monotonic() - began:.0f} s loss {mean:.4f}", flush=True)
        if team.rank == 0 and (step % 500 == 0 or step == schedule.steps):
            right = accuracy(model, tokenizer, watched, seen_watched)
            print("  " + ", ".join(f"{k} {v:.3f}" for k, v in right.items()), flush=True)


@torch.no_grad()
def accuracy(model: Any, tokenizer: Any, album: Album, seen: torch.Tensor) -> dict[str, float]:
    """Share of answers a kind that greedy decoding would give in full.

    Reading the right answer and predicting each next token of it comes to the same: greedy
    decoding leaves the right answer exactly where a prediction differs from it.
    """
    model.eval()
    right: dict[str, list[bool]] = {}
    for first in range(0, len(album.scenes), _AT_ONCE):
        indices = np.arange(first, min(first + _AT_ONCE, len(album.scenes)))
        asked = [
            questions(album.scenes[i], np.random.default_rng([album.seed, i])) for i in indices
        ]
        packed = [pack_row(tokenizer, questions_of, None) for questions_of in asked]
        rows = pad_rows(packed, tokenizer.pad_token_id)
        logits, targets = answers(model, album, indices, rows, seen[indices])
        hits = np.ones(rows.ids.shape, bool)
        hits[rows.targets != -100] = (logits.argmax(-1) == targets).numpy()
        for i, questions_of in enumerate(asked):
            for number, question in enumerate(questions_of, start=1):
                whole = bool(hits[i][rows.part[i] == number].all())
                right.setdefault(question.kind, []).append(whole)
    model.train()
    return {kind: float(np.mean(found)) for kind, found in sorted(right.items())}


@torch.no_grad()
def _look_at_all(model: Any, album: Album) -> torch.Tensor:
    """What the words see of every picture: (pictures, tiles, 1 + patches, width)."""
    model.eval()
    count = len(album.scenes)
    return torch.cat(
        [
            look(model, album, np.arange(first, min(first + _AT_ONCE, count)))
            for first in range(0, count, _AT_ONCE)
        ]
    )


def rows_of(
    tokenizer: Any, album: Album, indices: np.ndarray[Any, Any], rng: np.random.Generator
) -> Rows:
    """Some questions about each of some pictures, as one batch."""
    rows: list[Row] = []
    for index in indices:
        system = None
        if rng.random() < 0.15:
            system = SYSTEM_MESSAGES[int(rng.integers(len(SYSTEM_MESSAGES)))]
        rows.append(pack_row(tokenizer, _asked(album.scenes[index], rng), system))
    return pad_rows(rows, tokenizer.pad_token_id)


def _asked(scene: Scene, rng: np.random.Generator) -> list[Question]:
    kinds = [*_SHARES]
    shares = np.array([*_SHARES.values()]) / sum(_SHARES.values())
    asked: list[Question] = []
    while len(asked) < _ASKED:
        question = KINDS[kinds[int(rng.choice(len(kinds), p=shares))]](scene, rng)
        if question is not None:
            asked.append(question)
    return asked


def answers(
    model: Any, album: Album, indices: np.ndarray[Any, Any], rows: Rows, seen: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits where an answer's token comes next, and those tokens."""
    tiles = tiles_filled(album, indices)
    sees_picture = torch.from_numpy(rows.sees_picture)[:, :, None, None] & tiles[:, None, None]
    hidden = model.model(
        input_ids=torch.from_numpy(rows.ids),
        position_ids=torch.from_numpy(rows.positions),
        attention_mask=torch.from_numpy(rows.sees),
        cross_attention_states=seen.flatten(0, 1),
        cross_attention_mask=sees_picture.long(),
        use_cache=False,
    ).last_hidden_state
    targets = torch.from_numpy(rows.targets)
    learned = targets != -100
    return model.lm_head(hidden[learned]), targets[learned]
