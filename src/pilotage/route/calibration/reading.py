"""The user's data: JSON lines or CSV, a request a row, every error at its line.

JSON lines::

    {"prompt": "…", "scores": {"small": 1, "large": 1}, "tokens": {"small": {"prompt": 40,
     "completion": 90}, …}, "answers": {"small": "…"}, "logprobs": {"small": [-0.1, …]},
     "judge": {"small": 0.9}}

CSV: a column ``prompt`` and one a tier, named like the tier or with ``_correct`` or ``_score``
behind; ``TIER_response`` may hold its answer.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pilotage.errors import UsageError
from pilotage.route.calibration.rows import Row
from pilotage.route.call import Call, text_of
from pilotage.units import printable

_LARGEST_LINE: Final = 8 * 1024 * 1024
_MOST_ROWS: Final = 1_000_000
_MOST_LOGPROBS: Final = 1_000_000
_MOST_TOKENS: Final = 1_000_000_000
_TRUE: Final = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
_SCORE_ENDS: Final = ("", "_correct", "_score")
_ANSWER_END: Final = "_response"


@dataclass(frozen=True, slots=True)
class UserData:
    """What was read.

    Attributes:
        rows: In the file's order.
        sha256: Of the file's bytes.
    """

    rows: tuple[Row, ...]
    sha256: str


def read_data(
    path: Path,
    names: Mapping[str, Sequence[str]],
    progress: Callable[[int], None] = lambda _: None,
) -> UserData:
    """The rows of a file.

    Args:
        path: ``.csv`` is CSV; all else is JSON lines.
        names: By tier, what the file may call it: its own name, its models'.
        progress: Told how many rows there are, now and then.

    Raises:
        UsageError: The file cannot be read, or a row is wrong; ``where`` is ``file:line``.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        read = _csv_rows if path.suffix.lower() == ".csv" else _json_rows
        rows: list[Row] = []
        for row in read(path, names):
            rows.append(row)
            if len(rows) > _MOST_ROWS:
                raise UsageError(f"more than {_MOST_ROWS:,} rows", where=str(path))
            if len(rows) % 500 == 0:
                progress(len(rows))
    except OSError as error:
        reason = (error.strerror or "failed").lower()
        raise UsageError(f"cannot be read: {reason}", where=printable(str(path))) from None
    progress(len(rows))
    return UserData(tuple(rows), digest)


class _At:
    """A place in the file, to raise errors at."""

    def __init__(self, path: Path, line: int) -> None:
        self._where = f"{printable(str(path))}:{line}"

    def wrong(self, message: str, hint: str | None = None) -> UsageError:
        return UsageError(message, where=self._where, hint=hint)


def _json_rows(path: Path, names: Mapping[str, Sequence[str]]) -> Iterator[Row]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_LARGEST_LINE + 1):
            number += 1
            at = _At(path, number)
            if len(line) > _LARGEST_LINE:
                raise at.wrong(f"a line of more than {_LARGEST_LINE // 2**20} MiB")
            if not line.strip():
                continue
            try:
                data = json.loads(line)
            except (ValueError, RecursionError) as error:
                said = error.msg if isinstance(error, json.JSONDecodeError) else "not UTF-8 text"
                raise at.wrong(f"not JSON: {said}") from None
            if not isinstance(data, dict):
                raise at.wrong("a row should be an object")
            yield _row(data, names, at)


def _row(data: Mapping[str, Any], names: Mapping[str, Sequence[str]], at: _At) -> Row:
    prompt, chars, images = _prompt(data, at)
    read = {
        field: _by_tier(data.get(field), names, field, at)
        for field in ("scores", "judge", "tokens", "logprobs", "answers")
    }
    if missing := [tier for tier in names if tier not in read["scores"]]:
        raise at.wrong(
            f"scores has nothing for {', '.join(missing)}",
            "Every tier needs a quality from 0 to 1 in every row",
        )
    return Row(
        prompt=prompt,
        prompt_chars=chars,
        images=images,
        tools=bool(data.get("tools")),
        scores={tier: _share(value, "scores", at) for tier, value in read["scores"].items()},
        judge={tier: _share(value, "judge", at) for tier, value in read["judge"].items()},
        tokens={tier: _tokens(value, at) for tier, value in read["tokens"].items()},
        logprobs={tier: _logprobs(value, at) for tier, value in read["logprobs"].items()},
        answers={tier: value for tier, value in read["answers"].items() if isinstance(value, str)},
    )


def _prompt(data: Mapping[str, Any], at: _At) -> tuple[str, int, int]:
    """The prompt, the characters of the whole conversation, and its images."""
    prompt, messages = data.get("prompt"), data.get("messages")
    if (prompt is None) == (messages is None):
        raise at.wrong("a row has either prompt or messages")
    if messages is None:
        if not isinstance(prompt, str):
            raise at.wrong("prompt should be a text")
        return prompt, len(prompt), 0
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise at.wrong("messages should be a list of objects with role and content")
    call = Call(body={"messages": messages}, request_id="")
    return call.prompt, sum(len(text_of(one.get("content"))) for one in messages), call.images


def _by_tier(found: Any, names: Mapping[str, Sequence[str]], field: str, at: _At) -> dict[str, Any]:
    """The field's values by the tiers' own names; of models that are no tier none."""
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise at.wrong(f"{field} should be an object with a value a tier")
    values = {}
    for tier, called in names.items():
        value = next((found[name] for name in called if name in found), None)
        if value is not None:
            values[tier] = value
    return values


def _share(value: Any, field: str, at: _At) -> float:
    if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
        raise at.wrong(f"{field} should be numbers from 0 to 1")
    return float(value)


def _tokens(value: Any, at: _At) -> tuple[int, int]:
    told = value if isinstance(value, dict) else {}
    prompt, completion = told.get("prompt"), told.get("completion")
    if type(prompt) is int and type(completion) is int and min(prompt, completion) >= 0:
        return min(prompt, _MOST_TOKENS), min(completion, _MOST_TOKENS)
    raise at.wrong('tokens should be such as {"prompt": 40, "completion": 90} a tier')


def _logprobs(value: Any, at: _At) -> Sequence[float]:
    good = isinstance(value, list) and len(value) <= _MOST_LOGPROBS
    if not good or not all(type(one) in (int, float) and one <= 1e-3 for one in value):
        raise at.wrong("logprobs should be lists of natural log-probabilities, 0 or below, a tier")
    return array("f", (max(one, -1e30) for one in value))


def _csv_rows(path: Path, names: Mapping[str, Sequence[str]]) -> Iterator[Row]:
    csv.field_size_limit(_LARGEST_LINE)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            head = next(reader, [])
            columns = _columns(head, names, _At(path, 1))
            # A field may go over several lines: a row begins after the last one's end.
            begins = reader.line_num + 1
            for cells in reader:
                at, begins = _At(path, begins), reader.line_num + 1
                if not cells:
                    continue
                if len(cells) != len(head):
                    raise at.wrong(f"{len(cells)} fields, and the head has {len(head)}")
                yield _csv_row(cells, columns, at)
        except csv.Error as error:
            raise _At(path, reader.line_num).wrong(f"not CSV: {error}") from None
        except UnicodeDecodeError:
            raise _At(path, reader.line_num + 1).wrong("not UTF-8 text") from None


@dataclass(frozen=True, slots=True)
class _Columns:
    prompt: int
    scores: Mapping[str, int]
    answers: Mapping[str, int]


def _columns(head: Sequence[str], names: Mapping[str, Sequence[str]], at: _At) -> _Columns:
    place = {name: index for index, name in enumerate(head)}
    if "prompt" not in place:
        raise at.wrong("there is no column prompt")
    scores, answers = {}, {}
    for tier, called in names.items():
        choices = [name + end for name in called for end in _SCORE_ENDS]
        found = next((place[name] for name in choices if name in place), None)
        if found is None:
            raise at.wrong(
                f"there is no column for the tier {tier}",
                f"Name one {tier}, {tier}_correct or {tier}_score, or say --column {tier}=NAME",
            )
        scores[tier] = found
        text = next((place[n + _ANSWER_END] for n in called if n + _ANSWER_END in place), None)
        if text is not None:
            answers[tier] = text
    return _Columns(place["prompt"], scores, answers)


def _csv_row(cells: Sequence[str], columns: _Columns, at: _At) -> Row:
    prompt = cells[columns.prompt]
    return Row(
        prompt=prompt,
        prompt_chars=len(prompt),
        scores={tier: _cell(cells[place], at) for tier, place in columns.scores.items()},
        answers={tier: cells[place] for tier, place in columns.answers.items()},
    )


def _cell(text: str, at: _At) -> float:
    value = _TRUE.get(text.strip().lower())
    if value is None:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
    return _share(value, "scores", at)
