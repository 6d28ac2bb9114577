"""Reading matrices of scores: CSV with a column a model, or JSON lines with ``scores``.

CSV: a column ``prompt`` (or ``question``, ``query``, ``input``, ``instruction``, ``text``), then a
column a model with True/False, 1/0 or a share, under the model's name or ending in ``_correct``,
``_score`` or the like; ``<model>_response`` holds the answer's text. Other columns (a subject, a
row's number) are passed over. JSON lines: ``{"prompt": …, "scores": {model: share}}``, and the
texts as ``"answers": {model: text}``; rows with the CSV's columns as fields are read too.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from pilotage.errors import UsageError
from pilotage.route.evaluation.matrix import Matrix
from pilotage.route.evaluation.names import answer_stem, find_name, result_stem

MOST_BYTES: Final = 1 << 30
_PROMPTS: Final = ("prompt", "question", "query", "input", "instruction", "text")
_WORDS: Final = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
_UNKNOWN: Final = ("", "nan", "na", "n/a", "none", "null")
_ROUNDING: Final = 1e-6
_HINT: Final = (
    "A matrix is a CSV file with a column prompt and a column of 0/1 a model, or JSON lines with "
    "prompt and scores"
)


def read_matrix(path: Path) -> Matrix:
    """Read a file of scores.

    Raises:
        UsageError: It is not there, too large, not readable as one, or holds fewer than two
            models.
    """
    where = str(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"it is larger than {MOST_BYTES >> 30} GiB", where=where)
        text = path.read_text("utf-8-sig")
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise UsageError(f"cannot read it: {reason}", where=where) from error
    except UnicodeDecodeError as error:
        raise UsageError("it is not UTF-8 text", where=where, hint=_HINT) from error
    if not text.strip():
        raise UsageError("it is empty", where=where, hint=_HINT)
    rows = _json_rows(text, where) if text.lstrip()[:1] in "{[" else _csv_rows(text, where)
    return _matrix(rows, where)


def _csv_rows(text: str, where: str) -> list[dict[str, Any]]:
    before = csv.field_size_limit(len(text) + 1)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        rows = []
        for row in reader:
            if None in row:
                raise UsageError(
                    "the row has more fields than the head",
                    where=f"{where}:{reader.line_num}",
                    hint=_HINT,
                )
            rows.append({str(name): value for name, value in row.items()})
    except csv.Error as error:
        raise UsageError(f"it is not CSV: {error}", where=where, hint=_HINT) from error
    finally:
        csv.field_size_limit(before)
    return rows


def _json_rows(text: str, where: str) -> list[dict[str, Any]]:
    rows: list[Any] = []
    try:
        if text.lstrip()[0] == "[":
            rows = json.loads(text)
        else:
            for number, line in enumerate(text.split("\n"), 1):
                if line.strip():
                    where_now = f"{where}:{number}"
                    rows.append(json.loads(line))
    except (ValueError, RecursionError) as error:
        place = where if text.lstrip()[0] == "[" else where_now
        raise UsageError("it is not JSON", where=place, hint=_HINT) from error
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UsageError(f"row {number} is no object", where=where, hint=_HINT)
    return [_flat(row, where, number) for number, row in enumerate(rows, 1)]


def _flat(row: dict[str, Any], where: str, number: int) -> dict[str, Any]:
    """A row as a CSV file would have it: a field a model."""
    scores = row.get("scores")
    if scores is None:
        return row
    texts = row.get("answers") or row.get("responses") or {}
    if not isinstance(scores, Mapping) or not isinstance(texts, Mapping):
        raise UsageError(
            f"row {number}: scores are a mapping from model to number", where=where, hint=_HINT
        )
    kept = {name: row[name] for name in row if name.lower() in _PROMPTS}
    return (
        kept
        | {f"{model}_score": value for model, value in scores.items()}
        | {f"{model}_response": value for model, value in texts.items()}
    )


def _matrix(rows: Sequence[Mapping[str, Any]], where: str) -> Matrix:
    if not rows:
        raise UsageError("it has no rows", where=where, hint=_HINT)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lowered = {name.strip().lower(): name for name in columns}
    asked = next((lowered[name] for name in _PROMPTS if name in lowered), None)
    if asked is None:
        raise UsageError("there is no column prompt", where=where, hint=_HINT)
    values = _model_columns(rows, [name for name in columns if name != asked])
    if len(values) < 2:
        raise UsageError(
            f"it has scores of {len(values)} models, and a choice needs two"
            f"{_spoilt(rows, columns)}",
            where=where,
            hint=_HINT,
        )
    prompts = tuple(_text(row.get(asked)) for row in rows)
    if empty := [number for number, prompt in enumerate(prompts, 1) if not prompt.strip()]:
        raise UsageError(f"row {empty[0]} has no prompt", where=where, hint=_HINT)
    texts = {stem: name for name in columns if (stem := answer_stem(name)) is not None}
    answers = []
    for model in values:
        found = find_name(model, texts)
        answers.append(
            tuple(_text(row.get(texts[found])) for row in rows) if found is not None else None
        )
    return Matrix(
        source=where,
        models=tuple(values),
        prompts=prompts,
        scores=np.array(list(values.values()), np.float64).T,
        answers=tuple(answers),
    )


def _model_columns(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str]
) -> dict[str, list[float]]:
    """Columns that hold nothing but scores, by model."""
    found: dict[str, list[float]] = {}
    marked: dict[str, list[float]] = {}
    for column in columns:
        if answer_stem(column) is not None:
            continue
        scores = [_score(row.get(column)) for row in rows]
        known = [score for score in scores if score is not None]
        if len(known) < len(scores) or all(map(math.isnan, known)):
            continue
        stem = result_stem(column)
        if stem is None:
            found[column] = known
        else:
            marked[stem] = known
    # Where columns say that they are results, a bare column of shares is something else.
    return marked or found


def _spoilt(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Which cell keeps a column from being scores, where it is all but some."""
    for column in columns:
        bad = [at for at, row in enumerate(rows) if _score(row.get(column)) is None]
        if bad and len(bad) * 2 < len(rows):
            said = str(rows[bad[0]].get(column))[:40]
            return f" (row {bad[0] + 1} of the column {column!r} is no score from 0 to 1: {said!r})"
    return ""


def _score(value: object) -> float | None:
    """A score; NaN if it is left out, nothing if it is no score."""
    if value is None:
        return math.nan
    if isinstance(value, str):
        value = value.strip().lower()
        if value in _UNKNOWN:
            return math.nan
        if value in _WORDS:
            return _WORDS[value]
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    if math.isnan(number):
        return math.nan
    return min(1.0, max(0.0, number)) if -_ROUNDING <= number <= 1 + _ROUNDING else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
