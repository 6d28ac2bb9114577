"""What every model's answer to every prompt costs, as it came out and as expected beforehand.

A query costs the prompt's tokens at the price of input, and where the answers are in the file the
answer's tokens at the price of output. Tokens are estimated as characters / 4, alike for all
models: their own counts are not in such files. Without answers the prompt's tokens stand for the
whole, which is right up to a factor if answers are as long as their prompts or equally long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage.route.evaluation.matrix import Matrix
from pilotage.route.evaluation.model_prices import ModelPrice

CHARACTERS_PER_TOKEN: Final = 4.0
CORE_USD_PER_HOUR: Final = 0.05
"""A processor core's hour in the cloud, about an on-demand vCPU's; the classifier runs on one."""

JUDGE_TOKENS: Final = 8.0
"""Tokens in which a judge says its score; it reads the prompt and the answer."""

JUDGE_INSTRUCTIONS: Final = 60.0
"""Tokens of what a judge is told beside them."""


def actual_costs(matrix: Matrix, prices: Sequence[ModelPrice]) -> NDArray[np.float64]:
    """US dollars of each model's answer to each prompt, rows by models."""
    return _costs(matrix, prices, answer_tokens(matrix))


def expected_costs(
    matrix: Matrix, prices: Sequence[ModelPrice], fitted: Matrix
) -> NDArray[np.float64]:
    """What is known of the same before an answer is there.

    The answer is expected to be as long as a straight line through the fit file's lengths of
    prompts and answers says, and never shorter than its shortest tenth.
    """
    asked = prompt_tokens(matrix)
    lengths = np.zeros((len(matrix), len(matrix.models)))
    known, before = answer_tokens(fitted), prompt_tokens(fitted)
    if not answer_tokens(matrix).any():
        return _costs(matrix, prices, lengths)
    for model in range(len(fitted.models)):
        slope, start = np.polyfit(before, known[:, model], 1) if np.ptp(before) else (0.0, 0.0)
        start = start if slope else known[:, model].mean()
        least = np.quantile(known[:, model], 0.1)
        lengths[:, model] = np.maximum(least, start + slope * asked)
    return _costs(matrix, prices, lengths)


def judge_costs(
    matrix: Matrix, price: ModelPrice, answered: NDArray[np.float64]
) -> NDArray[np.float64]:
    """US dollars of judging answers of so many tokens with a model, a prompt each."""
    read = prompt_tokens(matrix) + answered + JUDGE_INSTRUCTIONS
    total = read * float(price.input) + JUDGE_TOKENS * float(price.output)
    return np.asarray(total / 1e6, np.float64)


def core_cost(seconds: float) -> float:
    """US dollars of so many seconds on a processor core."""
    return seconds / 3600 * CORE_USD_PER_HOUR


def prompt_tokens(matrix: Matrix) -> NDArray[np.float64]:
    """Estimated tokens of the prompts."""
    return np.array([max(1.0, len(one) / CHARACTERS_PER_TOKEN) for one in matrix.prompts])


def answer_tokens(matrix: Matrix) -> NDArray[np.float64]:
    """Estimated tokens of the answers, rows by models; zero where there are none at all.

    A model without texts is taken to say as much as the others do.
    """
    tokens = np.full((len(matrix), len(matrix.models)), np.nan)
    for model, texts in enumerate(matrix.answers):
        if texts is not None:
            tokens[:, model] = [max(1.0, len(one) / CHARACTERS_PER_TOKEN) for one in texts]
    given = np.isfinite(tokens).any(axis=0)
    if not given.any():
        return np.zeros_like(tokens)
    tokens[:, ~given] = tokens[:, given].mean(axis=1, keepdims=True)
    return tokens


def _costs(
    matrix: Matrix, prices: Sequence[ModelPrice], answered: NDArray[np.float64]
) -> NDArray[np.float64]:
    asked = np.array([float(price.input) for price in prices])
    said = np.array([float(price.output) for price in prices])
    costs: NDArray[np.float64] = prompt_tokens(matrix)[:, None] * asked + answered * said
    return costs / 1e6
