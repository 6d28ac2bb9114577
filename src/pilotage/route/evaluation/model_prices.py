"""What the compared models' tokens cost."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from pilotage.errors import UsageError
from pilotage.route.evaluation.names import find_name


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """US dollars a million tokens.

    Attributes:
        input: Of the prompt.
        output: Of the answer.
        source: Who says so.
    """

    input: Decimal
    output: Decimal
    source: str


_ROUTELLM: Final = "RouteLLM, arXiv 2406.18665: the mean price of a token of input and output"

DEFAULTS: Final[Mapping[str, ModelPrice]] = {
    "mixtral-8x7b-instruct-v0.1": ModelPrice(Decimal("0.24"), Decimal("0.24"), _ROUTELLM),
    "gpt-4-1106-preview": ModelPrice(Decimal("24.7"), Decimal("24.7"), _ROUTELLM),
}
"""Prices of the two models of RouteLLM's files, as its authors reckon with them.

The only ones known without ``--prices``: an unknown price is an error, never zero.
"""

_HINT: Final = (
    'Give --prices a JSON file {model: {"input_usd_per_mtok": 0.2, "output_usd_per_mtok": 0.6}}'
)


def default_prices(models: Sequence[str]) -> tuple[ModelPrice, ...]:
    """Prices from `DEFAULTS`, a model each.

    Raises:
        UsageError: One is not in it.
    """
    return _each(models, DEFAULTS, "--prices")


def read_prices(path: Path, models: Sequence[str]) -> tuple[ModelPrice, ...]:
    """Prices from a JSON file by model: input and output in US dollars a million tokens.

    Raises:
        UsageError: It cannot be read, or lacks a model, or holds something else.
    """
    where = str(path)
    try:
        data = json.loads(path.read_text("utf-8"), parse_float=Decimal, parse_int=Decimal)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise UsageError(f"cannot read it: {reason}", where=where) from error
    except (ValueError, InvalidOperation, RecursionError) as error:
        raise UsageError("it is not JSON", where=where, hint=_HINT) from error
    if not isinstance(data, dict):
        raise UsageError("it is no mapping from models to prices", where=where, hint=_HINT)
    return _each(models, data, where)


def _each(models: Sequence[str], prices: Mapping[str, Any], where: str) -> tuple[ModelPrice, ...]:
    found = []
    for model in models:
        name = find_name(model, prices)
        if name is None:
            raise UsageError(f"there is no price of the model {model!r}", where=where, hint=_HINT)
        price = prices[name]
        found.append(price if isinstance(price, ModelPrice) else _price(price, name, where))
    return tuple(found)


def _price(data: object, model: str, where: str) -> ModelPrice:
    if isinstance(data, Mapping):
        asked = data.get("input_usd_per_mtok", data.get("input"))
        answered = data.get("output_usd_per_mtok", data.get("output", asked))
    else:
        asked = answered = data
    return ModelPrice(_amount(asked, model, where), _amount(answered, model, where), where)


def _amount(value: object, model: str, where: str) -> Decimal:
    if (
        isinstance(value, Decimal)
        and value.is_finite()
        and 0 < value < 1_000_000
        and math.isfinite(float(value))
    ):
        return value
    raise UsageError(f"the price of {model!r} is no amount above zero", where=where, hint=_HINT)
