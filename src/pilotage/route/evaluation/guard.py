"""Which settings a policy is run at: those that were worth it on rows it had not been fitted to.

On the fit file's held-out predictions every setting is an operating point. It is kept only if,
less half a standard error of what it gains over mixing single models at random at the same cost,
it lies on the upper hull of all that is left and of the single models. Where the estimates show
nothing, the linear mix remains, which needs no estimates: the policy degrades to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage.route.evaluation.curve import Curve, upper_hull
from pilotage.route.evaluation.sweep import Outcomes

Values = NDArray[np.float64]

STANDARD_ERRORS: Final = 0.5
"""Of its gain, that a setting must be worth having without.

Half of one: on RouteLLM's GSM8K (660 rows to fit on) a whole one gives up a third of what the
router gains, and none at all lets settings in that pay for estimates and gain nothing by them.
"""

LEAST_GAIN: Final = 0.001
"""Quality over the linear mix, below which running a policy is not worth the trouble."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a policy is run at, to be mixed at random between neighbours.

    Attributes:
        settings: Places among the policy's settings.
        singles: Models that answer everything.
    """

    settings: NDArray[np.int64]
    singles: NDArray[np.int64]


def keep_settings(costs: Values, scores: Values, fitted: Outcomes) -> Kept:
    """Choose among settings by what they came to on the fit file.

    Args:
        costs: Settings by the fit file's rows, from held-out predictions.
        scores: Likewise.
        fitted: The single models on the same rows.
    """
    means, worth = fitted.costs.mean(axis=0), fitted.scores.mean(axis=0)
    mix = upper_hull(means, worth)
    spent = costs.mean(axis=1)
    safe = np.empty(len(spent))
    for place, cost in enumerate(spent):
        gain = scores[place] - _mixed(mix, float(cost), fitted)
        error = float(gain.std() / np.sqrt(len(gain)))
        safe[place] = float(scores[place].mean()) - STANDARD_ERRORS * error - LEAST_GAIN
    # Singles first: what is no better than one of them is not worth running.
    hull = upper_hull(np.concatenate([means, spent]), np.concatenate([worth, safe]))
    singles = hull.place[hull.place < len(means)]
    return Kept(hull.place[hull.place >= len(means)] - len(means), singles)


def _mixed(mix: Curve, cost: float, fitted: Outcomes) -> Values:
    """Expected scores by row of the linear mix of a cost."""
    right = int(np.searchsorted(mix.cost, cost))
    if right == 0 or right == len(mix.cost):
        return fitted.scores[:, mix.place[min(right, len(mix.cost) - 1)]]
    low, high = mix.cost[right - 1], mix.cost[right]
    share = (cost - low) / (high - low)
    below, above = (fitted.scores[:, mix.place[place]] for place in (right - 1, right))
    mixed: Values = (1 - share) * below + share * above
    return mixed
