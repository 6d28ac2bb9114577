"""Prices that the user gives: ``--price NAME=AMOUNT`` and ``prices.yaml`` in the Pilotage home.

::

    region: eu-west-1        # optional; without it the prices hold wherever one plans
    prices:
      ml.g5.2xlarge: 1.52
      bedrock/meta.llama3-1-8b-instruct-v1:0:model-unit: 24
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import yaml

from pilotage.catalog.prices.price import Price, parse_amount, unit_of
from pilotage.errors import SpecError, UsageError
from pilotage.units import printable

FILE_NAME: Final = "prices.yaml"

_LARGEST_FILE: Final = 1 << 20


def parse_prices(given: Iterable[str], region: str) -> dict[str, Price]:
    """Prices given as ``NAME=AMOUNT``.

    Raises:
        UsageError: One is no such pair, or twice there.
    """
    prices: dict[str, Price] = {}
    today = datetime.now(UTC).date()
    for one in given:
        name, mark, amount = one.partition("=")
        name = name.strip()
        if not mark:
            raise UsageError(
                f'"{printable(one[:80])}" is no price', hint="Write --price NAME=AMOUNT"
            )
        if name in prices:
            raise UsageError(f"the price of {printable(name[:80])} is given twice")
        prices[name] = _price(name, amount, "--price", today, region)
    return prices


def read_prices(path: Path, region: str) -> dict[str, Price]:
    """The prices of a file; none when there is no such file, or it is of another region.

    Raises:
        SpecError: It cannot be read, or holds something else than prices.
    """
    where = printable(str(path))
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise SpecError("is larger than 1 MiB; no list of prices is so large", where=where)
        data = yaml.safe_load(path.read_text("utf-8"))
        day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
    except FileNotFoundError:
        return {}
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise SpecError(f"cannot be read: {reason}", where=where) from None
    # RecursionError: lists nested a thousand deep.
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f"{where}:{mark.line + 1}" if mark else where
        raise SpecError("is no valid YAML", where=at) from None
    return _of(data, where, day, region)


def _of(data: object, where: str, day: date, region: str) -> dict[str, Price]:
    form = 'Write "prices:" and below it lines such as "ml.g5.2xlarge: 1.52"'
    if data is None:
        return {}
    if not isinstance(data, Mapping) or set(data) - {"region", "prices"}:
        raise SpecError("should hold region: and prices: only", where=where, hint=form)
    prices = data.get("prices")
    if not isinstance(prices, Mapping) or not all(isinstance(name, str) for name in prices):
        raise SpecError("prices: should map names to US dollars", where=where, hint=form)
    valid_for = data.get("region")
    if valid_for is not None and not isinstance(valid_for, str):
        raise SpecError("region: should be a name such as us-east-1", where=where)
    try:
        found = {name: _price(name, amount, where, day, region) for name, amount in prices.items()}
    except UsageError as error:
        raise SpecError(error.message, where=where, hint=error.hint) from None
    return found if valid_for in (None, region) else {}


def _price(name: str, amount: object, source: str, day: date, region: str) -> Price:
    unit = unit_of(name)
    return Price(
        amount=parse_amount(amount, name),
        unit=unit,
        source=f"given by you ({source})",
        date=day,
        region=region,
    )
