"""Days and months as budgets count them: UTC, as whole numbers."""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime
from typing import Final

DAY_S: Final = 86_400
_EPOCH: Final = date(1970, 1, 1).toordinal()
_LAST_DAY: Final = date.max.toordinal() - _EPOCH


def day_of(at: float) -> int:
    """The UTC day of Unix seconds, in days since 1970."""
    return max(0, min(_LAST_DAY, int(at // DAY_S)))


@functools.lru_cache(maxsize=512)
def month_of(day: int) -> int:
    """The month of a day: years times twelve and months from 0."""
    there = date_of(day)
    return there.year * 12 + there.month - 1


@functools.lru_cache(maxsize=64)
def first_day_of(month: int) -> int:
    """The first day of a month."""
    year, place = divmod(month, 12)
    return date(year, place + 1, 1).toordinal() - _EPOCH


def end_of_day(day: int) -> float:
    """Unix seconds at which the day is over."""
    return float((day + 1) * DAY_S)


def end_of_month(month: int) -> float:
    """Unix seconds at which the month is over."""
    return float(first_day_of(month + 1) * DAY_S)


def date_of(day: int) -> date:
    """The day for people."""
    return date.fromordinal(day + _EPOCH)


def moment(at: float) -> datetime:
    """Unix seconds for people, UTC."""
    return datetime.fromtimestamp(at, UTC)
