"""The refreshed book: prices that `pilotage catalog refresh` took from the user's own account.

One file a region, ``prices/REGION.json`` in the Pilotage home::

    {"schema": "pilotage.prices/1", "region": "eu-west-1", "date": "2026-11-22",
     "offered": ["g5.2xlarge"],
     "prices": {"g5.2xlarge:spot": {"amount": "0.61", "source": "EC2 spot price history"}}}
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

from pilotage.catalog.prices.price import Price, parse_amount, unit_of
from pilotage.errors import SpecError, StoreError, UsageError
from pilotage.units import printable

SCHEMA: Final = "pilotage.prices/1"

_REGION: Final = re.compile(r"[a-z]{2,8}(-[a-z]{2,12}){1,3}-\d{1,2}", re.ASCII)
_AGAIN: Final = "Refresh it with: pilotage catalog refresh"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBook:
    """What one refresh found.

    Attributes:
        region: Of all prices.
        date: The day of the refresh.
        prices: By name.
        offered: Instance types the region has; None when they were not asked for.
    """

    region: str
    date: date
    prices: Mapping[str, Price] = field(default_factory=dict)
    offered: frozenset[str] | None = None


def checked_region(region: str) -> str:
    """``region`` if it looks like an AWS region's name.

    Raises:
        UsageError: It does not.
    """
    if not _REGION.fullmatch(region):
        raise UsageError(
            f'"{printable(region[:40])}" is no AWS region', hint="Regions are such as us-east-1"
        )
    return region


def book_path(home: Path, region: str) -> Path:
    """Where the refreshed book of a region lies."""
    return home / "prices" / f"{checked_region(region)}.json"


def write_book(home: Path, book: StoredBook) -> Path:
    """Write the book at once or not at all; returns where.

    Raises:
        StoreError: The home cannot be written to.
    """
    path = book_path(home, book.region)
    data = {
        "schema": SCHEMA,
        "region": book.region,
        "date": book.date.isoformat(),
        "offered": None if book.offered is None else sorted(book.offered),
        "prices": {
            name: {"amount": str(price.amount), "source": price.source}
            for name, price in sorted(book.prices.items())
        },
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(data, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(draft).unlink()
            raise
    except OSError as error:
        reason = (error.strerror or "failed").lower()
        raise StoreError(
            f"cannot be written: {reason}",
            where=printable(str(path)),
            hint="Set PILOTAGE_HOME to a folder that you can write to",
        ) from None
    return path


def read_book(home: Path, region: str) -> StoredBook | None:
    """The refreshed book of a region; None when there is none.

    Raises:
        SpecError: The file is damaged.
    """
    path = book_path(home, region)
    where = printable(str(path))
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise SpecError(f"cannot be read: {reason}", where=where) from None
    except (ValueError, RecursionError):
        raise SpecError("is no book of prices", where=where, hint=_AGAIN) from None
    try:
        return _book(data, region)
    except (KeyError, TypeError, ValueError, AttributeError, UsageError):
        raise SpecError("is no book of prices of this version", where=where, hint=_AGAIN) from None


def _book(data: Any, region: str) -> StoredBook:
    if data["schema"] != SCHEMA or data["region"] != region:
        raise ValueError
    day = date.fromisoformat(data["date"])
    offered = data["offered"]
    return StoredBook(
        region=region,
        date=day,
        offered=None if offered is None else frozenset(map(str, offered)),
        prices={
            name: Price(
                amount=parse_amount(entry["amount"], name),
                unit=unit_of(name),
                source=str(entry["source"]),
                date=day,
                region=region,
            )
            for name, entry in data["prices"].items()
        },
    )
