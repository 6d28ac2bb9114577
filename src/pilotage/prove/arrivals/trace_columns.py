"""Which column of a trace is which, and what its values mean.

Names are matched without regard to case and punctuation. They come from the Azure traces
(``TIMESTAMP, ContextTokens, GeneratedTokens``), Vidur's form of them (``arrived_at,
num_prefill_tokens, num_decode_tokens``), Mooncake (``timestamp, input_length, output_length,
hash_ids``), BurstGPT (``Timestamp, Request tokens, Response tokens``) and OpenAI's ``usage``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pilotage.errors import UsageError
from pilotage.units import printable

# No model has a context as long as this; a number beyond it is something else.
_MAX_TOKENS = 100_000_000

_TIMES = ("arrived_at", "timestamp", "arrival_time", "time")
_PROMPTS = (
    "num_prefill_tokens",
    "ContextTokens",
    "prompt_tokens",
    "input_length",
    "input_tokens",
    "Request tokens",
)
_COMPLETIONS = (
    "num_decode_tokens",
    "GeneratedTokens",
    "completion_tokens",
    "output_length",
    "output_tokens",
    "Response tokens",
)


@dataclass(frozen=True)
class Columns:
    """Where in a row each thing is, and the names they have in the file.

    Attributes:
        names: All names in the file, in its order.
        time: Place of the time of arrival.
        prompt: Place of the prompt's length.
        completion: Place of the completion's length.
        time_unit_s: Seconds in a unit of a time that is written as a number.
    """

    names: tuple[str, ...]
    time: int
    prompt: int
    completion: int
    time_unit_s: float


def find_columns(names: Sequence[str], where: str, *, timestamp_unit_s: float) -> Columns:
    """Which of ``names`` is which.

    Args:
        names: The header of a CSV file, or the keys of the first JSON object.
        where: What errors are to call the place.
        timestamp_unit_s: Seconds in a unit of ``timestamp``: its meaning depends on the format.
            The other times are in seconds, or in milliseconds if the name ends in ``ms``.

    Raises:
        UsageError: A column is missing.
    """
    known = [_plain(name) for name in names]
    times = (*_TIMES, *(f"{name}_s" for name in _TIMES), *(f"{name}_ms" for name in _TIMES))
    time = _place("a time of arrival", times, names, known, where)
    ends_in_ms = known[time] in {_plain(f"{name}_ms") for name in _TIMES}
    unit_s = timestamp_unit_s if known[time] == "timestamp" else 0.001 if ends_in_ms else 1.0
    return Columns(
        names=tuple(names),
        time=time,
        prompt=_place("the prompt's length", _PROMPTS, names, known, where),
        completion=_place("the completion's length", _COMPLETIONS, names, known, where),
        time_unit_s=unit_s,
    )


def read_moment(value: object, name: str, where: str) -> float | datetime:
    """A time of arrival: a number, or a date with a time. Without a zone it is taken as UTC.

    Raises:
        UsageError: It is neither, or a number below zero.
    """
    if isinstance(value, str) and _as_float(value) is None:
        try:
            # Digits after the sixth, which Azure's traces have, are dropped.
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            raise UsageError(
                f"{printable(name)} is neither a number nor a date: {shown(value)}",
                where=where,
                hint='Give seconds such as 12.5, or "2023-11-16 18:15:46.68".',
            ) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return _read_number(value, name, where, "Give the seconds since any fixed moment, from 0.")


def read_tokens(value: object, name: str, where: str) -> int:
    """A number of tokens.

    Raises:
        UsageError: It is not a whole number from 0, or larger than any prompt.
    """
    hint = f"Give a whole number of tokens, from 0 to {_MAX_TOKENS:,}."
    number = _read_number(value, name, where, hint)
    if number > _MAX_TOKENS:
        raise UsageError(f"{printable(name)} is too large: {shown(value)}", where=where, hint=hint)
    if number != int(number):
        raise UsageError(f"{printable(name)} is not whole: {shown(value)}", where=where, hint=hint)
    return int(number)


def read_ids(value: object, name: str, where: str) -> tuple[int, ...]:
    """The ids of a prompt's blocks.

    Raises:
        UsageError: It is not a list of whole numbers.
    """
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        raise UsageError(
            f"{printable(name)} is not a list of whole numbers: {shown(value)}",
            where=where,
            hint="Give the ids of the prompt's blocks of 512 tokens, such as [0, 1, 2].",
        )
    return tuple(value)


def shown(value: object) -> str:
    """``value`` for a message: quoted if text, cut if long, always one printable line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = printable(str(value)[:80])
    text = text if len(text) <= 40 else f"{text[:36]}…"
    return f'"{text}"' if isinstance(value, str) else text


def _place(
    what: str, wanted: Sequence[str], names: Sequence[str], known: Sequence[str], where: str
) -> int:
    """The first of ``wanted`` that is among the names, as its place."""
    for name in wanted:
        if _plain(name) in known:
            return known.index(_plain(name))
    if names and all(_as_float(name) is not None for name in names):
        raise UsageError(
            "the first line has numbers where the columns' names should be",
            where=where,
            hint="Put a line before it, such as arrived_at,num_prefill_tokens,num_decode_tokens.",
        )
    raise UsageError(
        f"there is no column for {what}",
        where=where,
        hint=f"{_advice(wanted, names)} The columns are {_listed(names)}.",
    )


def _advice(wanted: Sequence[str], names: Sequence[str]) -> str:
    """What the missing column is called, or which of the file's names nearly is one of these."""
    plain = {_plain(name): name for name in wanted}
    taken = {_plain(name) for name in (*_TIMES, *_PROMPTS, *_COMPLETIONS)}
    for name in names:
        if _plain(name) in taken:
            continue
        near = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.75)
        if near:
            return f'Should {shown(name)} be "{plain[near[0]]}"?'
    return f"Name it {', '.join(wanted[:4])}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join([shown(name) for name in names[:8]] + ["…"] * (len(names) > 8)) or "none"


def _read_number(value: object, name: str, where: str, hint: str) -> float:
    number = _as_float(value)
    if number is None:
        problem = "is not a number"
    elif not math.isfinite(number):
        problem = "is not finite"
    elif number < 0:
        problem = "is negative"
    else:
        return number
    raise UsageError(f"{printable(name)} {problem}: {shown(value)}", where=where, hint=hint)


def _as_float(value: object) -> float | None:
    # Python reads "1_000" as a number; no trace means it.
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        return None
    if not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except ValueError:
        return None
    except OverflowError:  # an integer beyond all floats
        return math.inf


def _plain(name: str) -> str:
    return "".join(char for char in name.lower() if char.isalnum())
