"""From a vector to the models' expected scores: straight lines and a forest, stacked.

What a router needs is the differences between models on a prompt; how hard the prompt is for all
of them moves no choice between two, but is most of the scores' variance. Both are therefore
predicted as outputs of their own, the differences weighing more, and stacked on their own.

Three predictors are stacked: ridge regressions with a light and a heavy penalty, which do well on
little data, and extremely randomised trees (Geurts et al., 2006) which see the ridges' predictions
among their inputs. The stack's weights are found by non-negative least squares (Breiman, 1996) on
predictions of rows that had no part in them: leave-one-out for the ridges, in closed form, and
out-of-bag for the trees. A predictor that knows nothing so gets a weight of nothing, and the
models' mean scores remain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pilotage.route.estimators.arrays import packed, unpacked
from pilotage.route.estimators.forest import Forest, forest_of, no_forest
from pilotage.route.estimators.space import missing_scikit_learn

Values = NDArray[np.float64]

PENALTIES: Final = (300.0, 3000.0)
_TREES: Final = 160
_DEPTH: Final = 16
_LEAF: Final = 5
_MOST_LEAVES: Final = 400
"""About so many leaves a tree: they are what a calibration file mostly consists of."""

_COMMON: Final = 0.3
"""Weight of the scores' common part beside their differences when trees are grown."""

_FEWEST: Final = 30
"""With fewer rows nothing but the mean scores is learnt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """A fitted stack.

    Attributes:
        means: The models' mean scores.
        slopes: Ridges by inputs by models.
        forest: Its inputs are the vector and the ridges' predictions; its outputs the differences
            and then the common part, weighed.
        apart: The stack's weights of the differences: a ridge each, then the forest.
        common: Likewise of the common part.
    """

    means: NDArray[np.float32]
    slopes: NDArray[np.float32]
    forest: Forest
    apart: NDArray[np.float32]
    common: NDArray[np.float32]

    def predict(self, rows: NDArray[np.float32]) -> Values:
        """Expected scores, 0 to 1: a row a vector, a column a model."""
        lines = [rows @ slopes for slopes in self.slopes]
        members = [*(line.astype(np.float64) for line in lines)]
        seen = np.concatenate([rows, *lines], axis=1).astype(np.float32)
        members.append(_joined(self.forest.predict(seen)))
        expected = self.means + _stacked(members, self.apart, self.common)
        return np.clip(expected, 0.0, 1.0)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "means": packed(self.means, "<f4"),
            "slopes": packed(self.slopes, "<f4"),
            "forest": self.forest.as_dict(),
            "apart": packed(self.apart, "<f4"),
            "common": packed(self.common, "<f4"),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Predictor:
        """The predictor that `as_dict` wrote.

        Raises:
            ValueError: It is damaged; KeyError and TypeError likewise.
        """
        means, slopes, apart, common = (
            unpacked(data[name]) for name in ("means", "slopes", "apart", "common")
        )
        forest = Forest.from_dict(data["forest"])
        ridges, inputs, models = slopes.shape
        fits = means.shape == (models,) and forest.values.shape[1] == models + 1
        if not fits or apart.shape != common.shape or apart.shape != (ridges + 1,):
            raise ValueError("parts that do not fit together")
        if len(forest.inputs) and forest.inputs.max() >= inputs + ridges * models:
            raise ValueError("a forest of another vector")
        if not all(np.isfinite(part).all() for part in (means, slopes, apart, common)):
            raise ValueError("values that are no numbers")
        return cls(means=means, slopes=slopes, forest=forest, apart=apart, common=common)


def fit_predictor(
    rows: NDArray[np.float32], scores: Values, *, seed: int = 0
) -> tuple[Predictor, Values]:
    """Fit a stack, and what it would have said of each row without having seen it.

    Args:
        rows: A vector a row.
        scores: Rows by models; NaN where it is not known, but known somewhere for each model.
        seed: Of the trees.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    means = np.nanmean(scores, axis=0)
    count, models = scores.shape
    slopes = np.zeros((len(PENALTIES), rows.shape[1], models), np.float32)
    if count < _FEWEST:
        nothing = np.zeros(len(PENALTIES) + 1, np.float32)
        predictor = Predictor(
            means=means.astype(np.float32),
            slopes=slopes,
            forest=no_forest(models + 1),
            apart=nothing,
            common=nothing,
        )
        return predictor, np.tile(means, (count, 1))
    inputs = rows.astype(np.float64)
    filled = np.zeros_like(scores)
    held_out = [np.zeros_like(scores) for _ in PENALTIES]
    for model in range(models):
        known = np.isfinite(scores[:, model])
        for place, penalty in enumerate(PENALTIES):
            wanted = scores[known, model] - means[model]
            slope, left_out = _ridge(inputs[known], wanted, penalty)
            slopes[place, :, model] = slope
            held_out[place][:, model] = inputs @ slope
            held_out[place][known, model] = left_out
        # Trees want every output of every row.
        filled[:, model] = np.where(known, scores[:, model] - means[model], held_out[-1][:, model])
    seen = np.concatenate([rows, *held_out], axis=1).astype(np.float32)
    forest, out_of_bag = _grow(seen, filled, seed)
    members = [*held_out, out_of_bag]
    weights = _stack(members, scores - means)
    predictor = Predictor(
        means=means.astype(np.float32),
        slopes=slopes,
        forest=forest,
        apart=weights[0],
        common=weights[1],
    )
    return predictor, np.clip(means + _stacked(members, *weights), 0.0, 1.0)


def _ridge(rows: Values, wanted: Values, penalty: float) -> tuple[Values, Values]:
    """Slopes, and the leave-one-out predictions by the rows' leverages."""
    inverse = np.linalg.inv(rows.T @ rows + penalty * np.eye(rows.shape[1]))
    slopes = inverse @ (rows.T @ wanted)
    leverage = np.minimum(np.einsum("ij,jk,ik->i", rows, inverse, rows, optimize=True), 0.99)
    said = rows @ slopes
    return slopes, (said - leverage * wanted) / (1 - leverage)


def _grow(rows: NDArray[np.float32], wanted: Values, seed: int) -> tuple[Forest, Values]:
    try:
        from sklearn.ensemble import ExtraTreesRegressor  # noqa: PLC0415
    except ImportError as error:
        raise missing_scikit_learn() from error

    common = wanted.mean(axis=1, keepdims=True)
    targets = np.concatenate([wanted - common, common * _COMMON], axis=1)
    grown = ExtraTreesRegressor(
        _TREES,
        max_depth=_DEPTH,
        min_samples_leaf=max(_LEAF, len(rows) // _MOST_LEAVES),
        max_features=0.3,
        bootstrap=True,
        oob_score=True,
        random_state=seed,
    ).fit(rows, targets)
    return forest_of(grown.estimators_), _joined(grown.oob_prediction_)


def _joined(outputs: Values) -> Values:
    """The forest's outputs as scores about the means."""
    return outputs[:, :-1] + outputs[:, -1:] / _COMMON


def _stack(
    members: list[Values], wanted: Values
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Non-negative weights of the members' differences and of their common parts."""
    from scipy.optimize import nnls  # noqa: PLC0415

    known = np.isfinite(wanted).all(axis=1)
    if not known.any():
        even = np.full(len(members), 1 / len(members), np.float32)
        return even, even
    goal = wanted[known]
    parts = [member[known] for member in members]
    apart = np.stack([(part - _mean(part)).ravel() for part in parts], axis=1)
    common = np.stack([_mean(part).ravel() for part in parts], axis=1)
    of_apart, _ = nnls(apart, (goal - _mean(goal)).ravel())
    of_common, _ = nnls(common, _mean(goal).ravel())
    return of_apart.astype(np.float32), of_common.astype(np.float32)


def _stacked(
    members: list[Values], apart: NDArray[np.float32], common: NDArray[np.float32]
) -> Values:
    total = np.zeros_like(members[0])
    for member, of_apart, of_common in zip(members, apart, common, strict=True):
        shared = _mean(member)
        total += of_apart * (member - shared) + of_common * shared
    return total


def _mean(scores: Values) -> Values:
    mean: Values = scores.mean(axis=1, keepdims=True)
    return mean
