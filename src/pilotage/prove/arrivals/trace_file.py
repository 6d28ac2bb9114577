"""Recorded traces from files: CSV with a header, and JSONL in the Mooncake form."""

from __future__ import annotations

import csv
import os
from array import array
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np

from pilotage.errors import UsageError
from pilotage.prove.arrivals.bounds import MAX_REQUESTS
from pilotage.prove.arrivals.trace import Trace
from pilotage.prove.arrivals.trace_columns import (
    Columns,
    find_columns,
    read_ids,
    read_moment,
    read_tokens,
    shown,
)
from pilotage.prove.arrivals.trace_lines import TraceLines, open_trace
from pilotage.units import printable

_BLOCK_TOKENS = 512
_MAX_BLOCKS = 20_000_000
# Longer than any trace; times in other units than seconds show by it.
_MAX_SPAN_S = 100 * 365.25 * 86_400


def read_trace(path: str | os.PathLike[str]) -> Trace:
    """The trace in the file at ``path``.

    CSV has a header line and one request a line; columns are found by the names that are common
    for them (see :mod:`pilotage.prove.arrivals.trace_columns`), in any order, separated by
    comma, semicolon or tab. Times are numbers, in seconds, or dates. JSONL has one object a line
    with the same names; ``timestamp`` is in milliseconds there and ``hash_ids`` names the prompt's
    blocks of 512 tokens, as Mooncake has it. Which of the two it is shows in the first line.

    The file is read line by line; at most 5,000,000 requests are taken.

    Raises:
        UsageError: There is no such file, or its content cannot be used; ``where`` is
            ``file:line``.
    """
    name = printable(os.fspath(path))
    with open_trace(path) as file:
        lines = TraceLines(file, name)
        first = next(lines, None)
        if first is None:
            raise UsageError("is empty", where=name, hint="Give a trace with requests in it.")
        if first.lstrip().startswith("["):
            raise UsageError(
                "is a JSON list",
                where=lines.where,
                hint="Give one JSON object a line: jq -c '.[]' FILE makes them.",
            )
        is_json = first.lstrip().startswith("{")
        rows = _json_rows(first, lines) if is_json else _csv_rows(first, lines)
        return _collect(rows, lines, name)


_Row = tuple[Columns, object, object, object, object]
"""The columns, and the values of time, prompt length, completion length and block ids."""


def _collect(rows: Iterator[_Row], lines: TraceLines, name: str) -> Trace:
    times, prompts, completions = array("d"), array("q"), array("q")
    ids: list[tuple[int, ...]] = []
    blocks = 0
    first: float | datetime | None = None
    before: object = None
    for columns, time, prompt, completion, prefix in rows:
        if len(times) == MAX_REQUESTS:
            raise UsageError(
                f"has more than {MAX_REQUESTS:,} requests",
                where=name,
                hint=f"Cut it: head -n {MAX_REQUESTS} FILE gives the first ones.",
            )
        time_name = columns.names[columns.time]
        moment = read_moment(time, time_name, lines.where)
        first = moment if first is None else first
        passed = _passed(first, moment, columns.time_unit_s, lines.where)
        if times and passed < times[-1]:
            raise UsageError(
                f"goes back in time: {printable(time_name)} is {shown(time)}, "
                f"after {shown(before)} in the request before",
                where=lines.where,
                hint="Sort the requests by their time.",
            )
        if passed > _MAX_SPAN_S:
            raise UsageError(
                f"comes {passed:.3g} s after the first request",
                where=lines.where,
                hint=f"Give {printable(time_name)} in units of {columns.time_unit_s:g} s.",
            )
        before = time
        times.append(passed)
        prompts.append(read_tokens(prompt, columns.names[columns.prompt], lines.where))
        completions.append(read_tokens(completion, columns.names[columns.completion], lines.where))
        if prefix is not None:
            found = read_ids(prefix, "hash_ids", lines.where)
            blocks += len(found)
            _check_blocks(len(found), prompts[-1], blocks, lines.where)
            # Requests before the first with ids have none.
            ids.extend([()] * (len(times) - 1 - len(ids)))
            ids.append(found)
    if not times:
        raise UsageError(
            "has column names but no requests", where=name, hint="Give a trace with requests in it."
        )
    ids.extend([()] * (len(times) - len(ids)) if ids else [])
    return Trace(
        times_s=np.array(times),
        prompt_tokens=np.array(prompts, dtype=np.int64),
        completion_tokens=np.array(completions, dtype=np.int64),
        prefix_ids=tuple(ids) if ids else None,
        name=printable(Path(name).name),
    )


def _csv_rows(header: str, lines: TraceLines) -> Iterator[_Row]:
    delimiter = max(",;\t", key=header.count)
    names = [cell.strip() for cell in _next_row(csv.reader([header], delimiter=delimiter), lines)]
    columns = find_columns(names, lines.where, timestamp_unit_s=1.0)
    reader = csv.reader(lines, delimiter=delimiter)
    while cells := _next_row(reader, lines):
        if len(cells) != len(names):
            raise UsageError(
                f"has {len(cells)} columns, and the header {len(names)}",
                where=lines.where,
                hint="Give each request a value for each column.",
            )
        yield (columns, cells[columns.time], cells[columns.prompt], cells[columns.completion], None)


def _next_row(reader: Iterator[list[str]], lines: TraceLines) -> list[str]:
    """The next row's cells, of which there is at least one; none at the end."""
    try:
        return next(reader, [])
    except csv.Error as error:
        raise UsageError(
            f"is not CSV ({error})", where=lines.where, hint="Check the quotes in it."
        ) from None


def _json_rows(first: str, lines: TraceLines) -> Iterator[_Row]:
    columns: Columns | None = None
    line: str | None = first
    while line is not None:
        fields = _object(line, lines.where)
        if columns is None:
            columns = find_columns(list(fields), lines.where, timestamp_unit_s=0.001)
        values = []
        for place in (columns.time, columns.prompt, columns.completion):
            name = columns.names[place]
            if name not in fields:
                raise UsageError(
                    f"has no {shown(name)}",
                    where=lines.where,
                    hint="Give each request the names that the first one has.",
                )
            values.append(fields[name])
        # Some requests of a trace may share nothing, and the first may be one of them.
        yield (columns, values[0], values[1], values[2], fields.get("hash_ids"))
        line = next(lines, None)


def _object(line: str, where: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(line, type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(
            f"is not a JSON object ({printable(str(error))})",
            where=where,
            hint="Give one JSON object a line, as in "
            '{"timestamp": 0, "input_length": 374, "output_length": 44}.',
        ) from None


def _passed(first: float | datetime, moment: float | datetime, unit_s: float, where: str) -> float:
    """Seconds from ``first`` to ``moment``."""
    if isinstance(first, datetime) and isinstance(moment, datetime):
        return (moment - first).total_seconds()
    if isinstance(first, datetime) or isinstance(moment, datetime):
        raise UsageError(
            "some times are numbers and some are dates",
            where=where,
            hint="Give all times in the form of the first.",
        )
    return (moment - first) * unit_s


def _check_blocks(count: int, prompt_tokens: int, total: int, where: str) -> None:
    # One more than fit is let pass: a block for what a template adds.
    most = -(-prompt_tokens // _BLOCK_TOKENS) + 1
    if count > most:
        raise UsageError(
            f"hash_ids names {count} blocks, and {prompt_tokens} tokens are {most - 1} at most",
            where=where,
            hint=f"Give the ids of blocks of {_BLOCK_TOKENS} tokens.",
        )
    if total > _MAX_BLOCKS:
        raise UsageError(
            f"hash_ids has more than {_MAX_BLOCKS:,} ids up to here",
            where=where,
            hint="Cut the trace before this line.",
        )
