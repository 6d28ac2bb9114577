"""Quantities as people write them ("400ms", "24GiB", "50K/day", "100K") and the numbers they mean.

=========  ==========================================  ==================
kind       units                                       number
=========  ==========================================  ==================
duration   us, ms, s, m (min), h, d                    seconds, float
size       B; KB, MB, GB, TB (thousands);              bytes, int
           KiB, MiB, GiB, TiB (1024s)
count      K, M, B (thousand, million, billion)        int
rate       a count a s, min (m), h or day (d)          per second, float
=========  ==========================================  ==================

Every ``format_*`` is exact: parsing its text gives the same number back. With ``digits`` it rounds
to that many significant digits instead, for a person's eyes. Negative, infinite and not-a-number
quantities do not exist here; all failures are :class:`UnitError`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from decimal import Context, Decimal
from fractions import Fraction

from pilotage.errors import UsageError

__all__ = [
    "COUNT_PATTERN",
    "DURATION_PATTERN",
    "RATE_PATTERN",
    "SIZE_PATTERN",
    "UnitError",
    "format_count",
    "format_duration",
    "format_rate",
    "format_size",
    "parse_count",
    "parse_duration",
    "parse_rate",
    "parse_size",
    "printable",
]

# Bytes and counts cross into C++ engines as signed 64-bit integers.
_LARGEST_INTEGER = 2**63 - 1

_DURATIONS: Mapping[str, Fraction] = {
    "us": Fraction(1, 1_000_000),
    "ms": Fraction(1, 1_000),
    "s": Fraction(1),
    "m": Fraction(60),
    "min": Fraction(60),
    "h": Fraction(3_600),
    "d": Fraction(86_400),
}
_BINARY = {f"{prefix}iB": Fraction(1024**power) for power, prefix in enumerate("KMGT", start=1)}
_DECIMAL = {f"{prefix}B": Fraction(1000**power) for power, prefix in enumerate("KMGT", start=1)}
_SIZES: Mapping[str, Fraction] = {"B": Fraction(1), **_BINARY, **_DECIMAL}
_COUNTS: Mapping[str, Fraction] = {
    "": Fraction(1),
    "K": Fraction(1_000),
    "k": Fraction(1_000),
    "M": Fraction(1_000_000),
    "B": Fraction(1_000_000_000),
}
_PERIODS: Mapping[str, Fraction] = {
    "s": Fraction(1),
    "min": Fraction(60),
    "m": Fraction(60),
    "h": Fraction(3_600),
    "day": Fraction(86_400),
    "d": Fraction(86_400),
}
_RATES: Mapping[str, Fraction] = {
    f"{count}/{period}": factor / seconds
    for period, seconds in _PERIODS.items()
    for count, factor in _COUNTS.items()
}

_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?"
_QUANTITY = re.compile(rf"(?P<number>{_NUMBER})\s*(?P<unit>[A-Za-zµ/ ]*)", re.ASCII)


def _pattern(units: Mapping[str, Fraction]) -> str:
    return rf"^{_NUMBER} *({'|'.join(sorted(filter(None, units), key=len, reverse=True))})?$"


# Regular expressions for the JSON Schema: what an editor may accept before Pilotage has a look.
DURATION_PATTERN = _pattern(_DURATIONS)
SIZE_PATTERN = _pattern(_SIZES)
RATE_PATTERN = _pattern(_RATES)
COUNT_PATTERN = rf"^{_NUMBER} *[KkMB]?$"


class UnitError(UsageError, ValueError):
    """A quantity cannot be read. Also a ``ValueError``, as validators expect."""


def parse_duration(value: str | float) -> float:
    """Seconds meant by ``value``: "400ms", "1.5s", "2m", "1h", or a plain number of seconds."""
    return _finite(_parse(value, _DURATIONS, "a duration", "400ms, 1.5s, 2m or 1h"), value)


def parse_size(value: str | float) -> int:
    """Bytes meant by ``value``: "24GiB" (1024s), "20GB" (thousands), or a plain number of bytes.

    Part bytes are rounded: "1.3GiB" is 1,395,864,371 bytes.
    """
    return _integer(_parse(value, _SIZES, "a size", "512MiB, 24GiB or 20GB"), value)


def parse_count(value: str | float) -> int:
    """The whole number meant by ``value``: "100K", "1.5M", or a plain number."""
    number = _parse(value, _COUNTS, "a count", "500, 100K or 1.5M")
    if number.denominator != 1:
        raise UnitError(f"should be a whole number, got {_shown(value)}")
    return _integer(number, value)


def parse_rate(value: str | float) -> float:
    """Events a second meant by ``value``: "20/s", "100/min", "50K/day", or a plain number."""
    return _finite(_parse(value, _RATES, "a rate", "20/s, 100/min or 50K/day"), value)


def format_duration(seconds: float, *, digits: int | None = None) -> str:
    """``seconds`` in the unit that suits: 0.4 → "400ms", 600 → "10m"."""
    names = ("d", "h", "m", "s", "ms", "us")
    return _format(parse_duration(seconds), names, _DURATIONS, zero="0s", digits=digits)


def format_size(size: int, *, digits: int | None = None) -> str:
    """``size`` bytes in the unit that suits: 25769803776 → "24GiB", 20000000000 → "20GB".

    With ``digits``, in binary units only: ``format_size(1_500_000, digits=3)`` is "1.43MiB".
    """
    names = (*reversed(_BINARY), *(() if digits else reversed(_DECIMAL)), "B")
    return _format(parse_size(size), names, _SIZES, zero="0B", digits=digits)


def format_count(count: int, *, digits: int | None = None) -> str:
    """``count`` with the suffix that suits: 100000 → "100K"."""
    return _format(
        parse_count(count), ("B", "M", "K", ""), _COUNTS, zero="0", digits=digits, shortest=False
    )


def format_rate(per_second: float, *, digits: int | None = None) -> str:
    """``per_second`` in the unit that suits: 20 → "20/s", 50000/86400 → "50K/day"."""
    periods = ("s", "min", "h", "day")
    names = tuple(f"{count}/{period}" for period in periods for count in ("B", "M", "K", ""))
    return _format(parse_rate(per_second), names, _RATES, zero="0/s", digits=digits, shortest=False)


def _parse(value: str | float, units: Mapping[str, Fraction], kind: str, examples: str) -> Fraction:
    """The exact number that ``value`` stands for, before it is rounded to a float or an int."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UnitError(f"should be {kind} such as {examples}, got {_shown(value)}")
    if isinstance(value, int | float):
        if isinstance(value, float) and not math.isfinite(value):
            raise UnitError(f"should be a finite number, got {_shown(value)}")
        if value < 0:
            raise UnitError(f"should not be negative, got {_shown(value)}")
        return Fraction(value)
    text = value.strip()
    if text.startswith("-") and _QUANTITY.fullmatch(text[1:].lstrip()):
        raise UnitError(f"should not be negative, got {_shown(value)}")
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UnitError(f"should be {kind} such as {examples}, got {_shown(value)}")
    unit = match["unit"].replace(" ", "")
    if unit and unit not in units:
        raise UnitError(
            f"unknown unit {_shown(unit)} in {_shown(value)}{_unit_advice(unit, units)}"
        )
    return Fraction(match["number"]) * units.get(unit, Fraction(1))


def _unit_advice(unit: str, units: Mapping[str, Fraction]) -> str:
    """Which units exist, the likeliest first."""
    same = [known for known in units if known.lower() == unit.lower()]
    near = same or difflib.get_close_matches(unit, units, n=1, cutoff=0.6)
    meant = f'; did you mean "{near[0]}"?' if near else ";"
    names = (
        "a count (1, 10K, 2M) a s, min, h or day"
        if units is _RATES
        else ", ".join(known for known in units if known not in ("", "k"))
    )
    return f"{meant} units are {names}"


def _finite(number: Fraction, value: object) -> float:
    try:
        return float(number)
    except OverflowError:
        raise UnitError(f"{_shown(value)} is too large") from None


def _integer(number: Fraction, value: object) -> int:
    rounded = round(number)
    if rounded > _LARGEST_INTEGER:
        raise UnitError(f"{_shown(value)} is too large")
    return rounded


def _format(
    number: float,
    names: tuple[str, ...],
    units: Mapping[str, Fraction],
    *,
    zero: str,
    digits: int | None,
    shortest: bool = True,
) -> str:
    """The most readable text for ``number``; ``names`` are the units, the favoured first.

    Of two equally tidy texts the shorter one wins, or else the one with the favoured unit. Units
    in which the number is below 1 are left out unless there is no other.
    """
    if number == 0:
        return zero
    exact = Fraction(number)
    usable = [name for name in names if exact >= units[name]]
    if not usable:
        usable = [min(names, key=lambda name: units[name])]
    if digits is not None:
        return _decimal(_rounded(exact / units[usable[0]], digits)) + usable[0]
    texts = []
    for name in usable:
        # 17 significant digits tell any two floats apart; 64-bit integers may need 19.
        for places in range(1, 20):
            rounded = _rounded(exact / units[name], places)
            if _same(Fraction(rounded) * units[name], number):
                text = _decimal(rounded)
                texts.append((len(text.partition(".")[2]) > 1, text + name))
                break
    # One decimal place reads well, more do not: 2.5m, but 123456ms rather than 2.0576m.
    return min(texts, key=lambda found: (found[0], len(found[1]) if shortest else 0))[1]


def _same(exact: Fraction, number: float) -> bool:
    """Whether reading ``exact`` back gives ``number``, a float or an int, unchanged."""
    if isinstance(number, int):
        return round(exact) == number
    try:
        return float(exact) == number
    except OverflowError:
        return False


def _rounded(number: Fraction, digits: int) -> Decimal:
    return Context(prec=digits).divide(Decimal(number.numerator), Decimal(number.denominator))


def _decimal(number: Decimal) -> str:
    """``number`` in plain notation, or in e-notation where plain would be a row of zeros."""
    plain = f"{number:f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return plain if len(plain) <= 21 else f"{number.normalize():e}".replace("e+", "e")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = printable(str(value))
    text = text if len(text) <= 40 else f"{text[:36]}…"
    return f'"{text}"' if isinstance(value, str) else text


def printable(text: str) -> str:
    """``text`` on one line and safe for a terminal: control characters become escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
