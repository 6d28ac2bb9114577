"""Several questions about one picture in one row, each blind to the others.

A picture costs more to look at than a question to read, so a training row is one prompt's head
(with the image token) and many questions after it. Each question sees the head and itself, at
the positions it would have alone: the row's loss is the sum of the separate conversations'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scripts.shapes.conversation import IMAGE, conversation
from scripts.shapes.questions import Question


@dataclass(frozen=True)
class Row:
    """One picture's questions.

    Attributes:
        ids: The head, then every question with its answer.
        positions: Of each id in its own conversation.
        part: 0 for the head, 1, 2, … for the questions.
        learned: Whether the next id is to be predicted here: the answer's, and the turn's end.
        image_at: Index of the image token; ids before it do not see the picture.
    """

    ids: np.ndarray[Any, Any]
    positions: np.ndarray[Any, Any]
    part: np.ndarray[Any, Any]
    learned: np.ndarray[Any, Any]
    image_at: int


@dataclass(frozen=True)
class Rows:
    """Rows padded to one length, with the masks that the model takes.

    Attributes:
        ids: (rows, length).
        positions: (rows, length).
        sees: (rows, 1, length, length), true where an id may attend to another.
        sees_picture: (rows, length).
        targets: (rows, length): the next id where it is to be learned, else -100.
        part: (rows, length): which question each id belongs to; -1 is padding.
    """

    ids: np.ndarray[Any, Any]
    positions: np.ndarray[Any, Any]
    sees: np.ndarray[Any, Any]
    sees_picture: np.ndarray[Any, Any]
    targets: np.ndarray[Any, Any]
    part: np.ndarray[Any, Any]


def pack_row(tokenizer: Any, asked: Sequence[Question], system: str | None) -> Row:
    """The questions `asked` about one picture, after one head."""
    ids: list[int] = []
    positions: list[int] = []
    part: list[int] = []
    learned: list[bool] = []
    for number, question in enumerate(asked, start=1):
        head, tail = tokenizer.apply_chat_template(
            conversation(question.text, system), tokenize=False, add_generation_prompt=True
        ).split(IMAGE)
        head_ids = _ids(tokenizer, head + IMAGE)
        if number == 1:
            ids, positions = head_ids, list(range(len(head_ids)))
            part, learned = [0] * len(head_ids), [False] * len(head_ids)
        tail_ids = _ids(tokenizer, tail)
        answer = [*_ids(tokenizer, question.answer), tokenizer.eos_token_id]
        length = len(tail_ids) + len(answer)
        ids = ids + tail_ids + answer
        positions = positions + list(range(len(head_ids), len(head_ids) + length))
        part = part + [number] * length
        learned = learned + [False] * (len(tail_ids) - 1) + [True] * len(answer) + [False]
    image_at = part.count(0) - 1
    return Row(np.array(ids), np.array(positions), np.array(part), np.array(learned), image_at)


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def pad_rows(rows: Sequence[Row], padding: int) -> Rows:
    """`rows` as one batch."""
    count, length = len(rows), max(len(row.ids) for row in rows)
    ids = np.full((count, length), padding)
    positions = np.zeros((count, length), np.int64)
    part = np.full((count, length), -1)
    learned = np.zeros((count, length), bool)
    sees_picture = np.zeros((count, length), bool)
    for i, row in enumerate(rows):
        end = len(row.ids)
        ids[i, :end], positions[i, :end] = row.ids, row.positions
        part[i, :end], learned[i, :end] = row.part, row.learned
        sees_picture[i, row.image_at :] = True
    causal = np.tril(np.ones((length, length), bool))
    related = (part[:, :, None] == part[:, None, :]) | (part[:, None, :] == 0)
    targets = np.where(learned, np.roll(ids, -1, axis=1), -100)
    return Rows(ids, positions, (related & causal)[:, None], sees_picture, targets, part)
