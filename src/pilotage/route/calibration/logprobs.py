"""Whether an answer is good, from the log-probabilities that the model gave its own tokens.

The mean log-probability says little: an answer is as sure as its least sure tokens, and a long one
has more of them. Quantiles of the tokens' log-probabilities with the length, in a fitted logistic,
defer better (Gupta et al., "Language Model Cascades: Token-Level Uncertainty and Beyond", ICLR
2024, arXiv 2404.10136).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from pilotage.route.calibration.logistic import Logistic, fit_logistic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_QUANTILES: Final = (0.0, 0.05, 0.1, 0.25, 0.5)
_INPUTS: Final = (*(f"q{share:g}" for share in _QUANTILES), "mean", "last", "length")
_FLOOR: Final = -20.0
"""Natural log; one token in 500 million is as unlikely as it gets, -inf and NaN included."""


class LogprobModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Expected quality of one tier's answers, from their tokens' log-probabilities.

    Attributes:
        logistic: Of `logprob_features`.
        average: Mean quality where it was fitted.
    """

    logistic: Logistic
    average: float

    def __post_init__(self) -> None:
        if self.logistic.inputs != _INPUTS:
            raise ValueError("a log-probability model of other inputs than this version's")
        if not 0 <= self.average <= 1:
            raise ValueError("a mean quality should be from 0 to 1")

    def score(self, logprobs: Sequence[float], completion_tokens: int) -> float:
        """Expected quality, 0 to 1.

        Args:
            logprobs: Natural log-probabilities of the generated tokens, in order. They may be
                fewer than the tokens; none at all is an answer that nothing is known of, for which
                the tier's average comes back.
            completion_tokens: How long the answer is.
        """
        if not logprobs:
            return self.average
        return self.logistic.probability(logprob_features(logprobs, completion_tokens))


def logprob_features(logprobs: Sequence[float], completion_tokens: int) -> list[float]:
    """What the model reads of an answer: quantiles, mean, the last token, the log of the length."""
    length = math.log1p(max(0, completion_tokens, len(logprobs)))
    told = [max(min(value, 0.0), _FLOOR) if value == value else _FLOOR for value in logprobs]  # noqa: PLR0124  NaN
    ordered = sorted(told)
    return [
        *(_quantile(ordered, share) for share in _QUANTILES),
        math.fsum(told) / len(told),
        told[-1],
        length,
    ]


def fit_logprobs(
    answers: Sequence[tuple[Sequence[float], int]], quality: NDArray[np.float64]
) -> LogprobModel:
    """The model of one tier.

    Args:
        answers: Log-probabilities, at least one, and completion tokens of each answer.
        quality: Of each answer, from 0 to 1.
    """
    import numpy as np  # noqa: PLC0415

    features = [logprob_features(logprobs, tokens) for logprobs, tokens in answers]
    x = np.array(features, dtype=float).reshape(len(features), len(_INPUTS))
    return LogprobModel(logistic=fit_logistic(_INPUTS, x, quality), average=float(np.mean(quality)))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Of ascending values, linearly between neighbours (type 7 of Hyndman and Fan, 1996)."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
