"""The local classifier: how good each model's answer to a prompt is expected to be.

It is fitted once, with scikit-learn, and predicts with NumPy alone in well under a millisecond.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pilotage.errors import UsageError
from pilotage.route.estimators.features import BUCKETS, Features, featurise

_FORM: Final = "pilotage.classifier/0"
_RANK: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """Expected scores of models, by prompt.

    Attributes:
        weights: Inverse document frequencies of the buckets.
        basis: Buckets by rank.
        centre: Means of what the basis gives and of the marks.
        scale: Their standard deviations.
        slopes: A row an input, a column a model.
        means: The models' mean scores.
    """

    weights: NDArray[np.float32]
    basis: NDArray[np.float32]
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    slopes: NDArray[np.float32]
    means: NDArray[np.float32]

    @property
    def models(self) -> int:
        """How many models it knows."""
        return len(self.means)

    def estimate_one(self, prompt: str) -> tuple[float, ...]:
        """Expected score of each model's answer to a prompt, 0 to 1."""
        return tuple(self._one(prompt).tolist())

    def predict(self, prompts: Sequence[str]) -> NDArray[np.float64]:
        """Expected scores, a row a prompt and a column a model."""
        if not prompts:
            return np.empty((0, self.models))
        return np.stack([self._one(prompt) for prompt in prompts])

    def _one(self, prompt: str) -> NDArray[np.float64]:
        point = _point(featurise(prompt), self.weights, self.basis)
        inputs = np.clip((point - self.centre) / self.scale, -5, 5)
        expected: NDArray[np.float64] = np.clip(self.means + inputs @ self.slopes, 0.0, 1.0)
        return expected.astype(np.float64)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: arrays as base64 of little-endian float32."""
        names = ("weights", "basis", "centre", "scale", "slopes", "means")
        return {"form": _FORM} | {name: _packed(getattr(self, name)) for name in names}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Classifier:
        """The classifier that `as_dict` wrote.

        Raises:
            UsageError: It is of another form or damaged.
        """
        if data.get("form") != _FORM:
            raise UsageError("the classifier is of another form", hint="Calibrate again")
        try:
            names = ("weights", "basis", "centre", "scale", "slopes", "means")
            return cls(**{name: _unpacked(data[name]) for name in names})
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError("the classifier is damaged", hint="Calibrate again") from error


def fit_classifier(
    prompts: Sequence[str], scores: NDArray[np.float64], *, seed: int = 0
) -> Classifier:
    """Fit a classifier.

    Args:
        prompts: What was asked.
        scores: What each model's answer was worth, 0 to 1; a row a prompt, a column a model, NaN
            where it is not known.
        seed: Of what is drawn at random.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    try:
        from scipy.sparse import csr_matrix  # noqa: PLC0415
        from sklearn.decomposition import TruncatedSVD  # noqa: PLC0415
        from sklearn.linear_model import Ridge  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "fitting a classifier needs scikit-learn", hint="pip install 'pilotage[route]'"
        ) from error

    found = [featurise(prompt) for prompt in prompts]
    seen = np.bincount(np.concatenate([one.buckets for one in found]), minlength=BUCKETS)
    weights = np.where(seen > 1, 1 + np.log((1 + len(found)) / (1 + seen)), 0).astype(np.float32)
    values, places, ends = [], [], [0]
    for one in found:
        value = one.counts * weights[one.buckets]
        values.append(value / (np.linalg.norm(value) or 1.0))
        places.append(one.buckets)
        ends.append(ends[-1] + len(one.buckets))
    table = csr_matrix(
        (np.concatenate(values), np.concatenate(places), ends), shape=(len(found), BUCKETS)
    )
    rank = max(1, min(_RANK, len(found) - 1))
    basis = TruncatedSVD(rank, random_state=seed).fit(table).components_.T.astype(np.float32)
    points = np.stack([_point(one, weights, basis) for one in found])
    centre, scale = points.mean(0), points.std(0) + 1e-6
    inputs = np.clip((points - centre) / scale, -5, 5)
    means = np.nanmean(scores, axis=0)
    slopes = np.zeros((inputs.shape[1], scores.shape[1]), np.float32)
    for model in range(scores.shape[1]):
        known = np.isfinite(scores[:, model])
        wanted = scores[known, model] - means[model]
        fitted = Ridge(alpha=50.0 + 0.05 * known.sum(), fit_intercept=False)
        slopes[:, model] = fitted.fit(inputs[known], wanted).coef_
    return Classifier(
        weights=weights,
        basis=basis,
        centre=centre,
        scale=scale,
        slopes=slopes,
        means=means.astype(np.float32),
    )


def _point(
    features: Features, weights: NDArray[np.float32], basis: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A prompt as one short vector: its n-grams on the basis, then its marks."""
    values = features.counts * weights[features.buckets]
    norm = float(np.linalg.norm(values)) or 1.0
    return np.concatenate([(values / norm) @ basis[features.buckets], features.marks])


def _packed(array: NDArray[np.float32]) -> dict[str, Any]:
    data = np.ascontiguousarray(array, "<f4")
    return {"shape": list(data.shape), "data": base64.b64encode(data.tobytes()).decode("ascii")}


def _unpacked(data: Mapping[str, Any]) -> NDArray[np.float32]:
    raw = np.frombuffer(base64.b64decode(data["data"], validate=True), "<f4")
    return raw.reshape([int(side) for side in data["shape"]])
