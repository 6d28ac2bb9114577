"""What the user says of Bedrock, which nobody but a measurement can know.

``--assume bedrock.ttft_p99=0.8``: Bedrock's latency depends on its other customers, and its
throughput on the quotas of the account. Pilotage predicts neither.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from pilotage.errors import UsageError
from pilotage.units import UnitError, parse_count, parse_duration, printable


@dataclass(frozen=True, slots=True, kw_only=True)
class BedrockAssumptions:
    """Given figures; None where the user gave none.

    Attributes:
        ttft_p99: Seconds to the first token.
        tpot_p99: Seconds per output token after the first.
        e2e_p99: Seconds end to end.
        e2e_mean: Seconds end to end on average, which Lambda is paid by.
        requests_per_minute: Quota of the account.
        tokens_per_minute: Quota of the account, prompt and completion together.
        model_unit_tokens_per_minute: What one model unit of provisioned throughput does.
    """

    ttft_p99: float | None = None
    tpot_p99: float | None = None
    e2e_p99: float | None = None
    e2e_mean: float | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    model_unit_tokens_per_minute: int | None = None


def parse_assumptions(given: Iterable[str]) -> BedrockAssumptions:
    """Assumptions given as ``bedrock.NAME=VALUE``; durations as "800ms" or seconds.

    Raises:
        UsageError: One is no such pair, unknown, given twice, or not above zero.
    """
    known = {f"bedrock.{one.name}" for one in fields(BedrockAssumptions)}
    found: dict[str, float | int] = {}
    for one in given:
        name, mark, text = one.partition("=")
        name = name.strip()
        if not mark or name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UsageError(
                f'"{printable(one[:80])}" is no assumption',
                where="--assume",
                hint=(f'Did you mean "{near[0]}"? ' if near else "")
                + f"Write NAME=VALUE; names are {', '.join(sorted(known))}",
            )
        if name in found:
            raise UsageError(f"{name} is given twice", where="--assume")
        found[name] = _value(name, text)
    values = {name.removeprefix("bedrock."): value for name, value in found.items()}
    return BedrockAssumptions(**values)  # type: ignore[arg-type]


def _value(name: str, text: str) -> float | int:
    try:
        value = parse_count(text) if name.endswith("_per_minute") else parse_duration(_plain(text))
    except UnitError as error:
        raise UsageError(f"{name} {error.message}", where="--assume") from None
    if not value > 0:
        raise UsageError(f"{name} should be above 0", where="--assume")
    return value


def _plain(text: str) -> str | float:
    """A number without a unit is seconds."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
