"""The user's rows as numbers: quality and cost of every tier's answer to every request.

Statistics are done in floating point: costs are added up exactly, an attempt at a time, and become
floats only to be averaged and compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pilotage.route.answer import Usage
from pilotage.route.calibration.rows import Row
from pilotage.route.pricing import TierPrice

Array = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows x tiers, all of shape (n, m).

    Attributes:
        quality: Measured, 0 to 1.
        usd: What each answer cost.
        expected_usd: What it was expected to cost before: its prompt's tokens are known, its
            completion's are the tier's mean.
        judge_usd: What judging each answer costs; 0 where no judge is asked.
        prior: Expected quality before generation.
        sure: Log-odds of what the answers' log-probabilities say; NaN where there are none.
        scored: Log-odds of what a scorer reads in the answers; NaN where there is none.
        judged: Log-odds of what a judge's scores say; NaN where there are none.
    """

    quality: Array
    usd: Array
    expected_usd: Array
    judge_usd: Array
    prior: Array
    sure: Array
    scored: Array
    judged: Array

    def of(self, rows: Places) -> Table:
        """Some rows of it."""
        return replace(
            self, **{name: getattr(self, name)[rows] for name in self.__dataclass_fields__}
        )


def usages(rows: Sequence[Row], tiers: Sequence[str], assumed_completion: int) -> list[list[Usage]]:
    """Tokens of every answer, told or estimated, a list a row."""
    return [[row.usage(tier, assumed_completion) for tier in tiers] for row in rows]


def costs(
    used: Sequence[Sequence[Usage]], tiers: Sequence[str], prices: Mapping[str, TierPrice]
) -> Array:
    """US dollars of every answer, shape (n, m)."""
    return np.array(
        [
            [float(prices[tier].cost(one)) for tier, one in zip(tiers, row, strict=True)]
            for row in used
        ]
    ).reshape(len(used), len(tiers))


def expected_costs(
    used: Sequence[Sequence[Usage]],
    completion: Sequence[float],
    tiers: Sequence[str],
    prices: Mapping[str, TierPrice],
) -> Array:
    """US dollars that answers of the tiers' mean length would cost."""
    typical = [
        [
            Usage(
                prompt_tokens=one.prompt_tokens,
                completion_tokens=round(mean),
                images=one.images,
            )
            for one, mean in zip(row, completion, strict=True)
        ]
        for row in used
    ]
    return costs(typical, tiers, prices)


def judging_costs(
    used: Sequence[Sequence[Usage]],
    tiers: Sequence[str],
    judges: Sequence[str],
    prices: Mapping[str, TierPrice],
    *,
    frame_tokens: int = 250,
    verdict_tokens: int = 24,
) -> Array:
    """US dollars of a judgement of every answer.

    Args:
        used: Tokens of the answers.
        tiers: The answers' tiers.
        judges: Which tier judges each of them.
        prices: Of all tiers.
        frame_tokens: The judge's instructions, beside the request and the answer.
        verdict_tokens: What a judge says.
    """
    judged = [
        [
            Usage(
                prompt_tokens=one.prompt_tokens + one.completion_tokens + frame_tokens,
                completion_tokens=verdict_tokens,
            )
            for one in row
        ]
        for row in used
    ]
    assert len(judges) == len(tiers)
    return np.array(
        [
            [float(prices[judge].cost(one)) for judge, one in zip(judges, row, strict=True)]
            for row in judged
        ]
    ).reshape(len(used), len(tiers))
