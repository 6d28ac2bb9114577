"""Texts as short vectors: hashed n-grams on a fitted basis, and a few counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pilotage.errors import UsageError
from pilotage.route.estimators.arrays import packed, unpacked
from pilotage.route.estimators.features import BUCKETS, MARKS, Features, featurise

_RANK: Final = 96
_FAR: Final = 5.0
"""Standard deviations beyond which an input says no more: what lies outside of all that was seen
must not throw a straight line anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A map from texts to vectors.

    Attributes:
        kept: Buckets that count, ascending; the others were too rare to learn from.
        weights: Their inverse document frequencies.
        basis: A row each of `kept`, a column a dimension, as whole numbers up to 127.
        units: What one such number is, by dimension.
        centre: Means of the dimensions and of the marks.
        scale: Their standard deviations.
    """

    kept: NDArray[np.int32]
    weights: NDArray[np.float32]
    basis: NDArray[np.int8]
    units: NDArray[np.float32]
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]

    @property
    def size(self) -> int:
        """How long its vectors are."""
        return len(self.centre)

    def point(self, text: str) -> NDArray[np.float32]:
        """A text's vector, each part about 0 and 1 large."""
        return self._scaled(_raw(featurise(text), self.kept, self.weights, self.basis, self.units))

    def points(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors, a row a text."""
        if not texts:
            return np.empty((0, self.size), np.float32)
        return np.stack([self.point(text) for text in texts])

    def _scaled(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = np.clip((raw - self.centre) / self.scale, -_FAR, _FAR)
        return scaled

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "kept": packed(self.kept, "<i4"),
            "weights": packed(self.weights, "<f4"),
            "basis": packed(self.basis, "|i1"),
            "units": packed(self.units, "<f4"),
            "centre": packed(self.centre, "<f4"),
            "scale": packed(self.scale, "<f4"),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Space:
        """The space that `as_dict` wrote.

        Raises:
            ValueError: It is damaged; KeyError and TypeError likewise.
        """
        kept, weights, basis, units, centre, scale = (
            unpacked(data[name])
            for name in ("kept", "weights", "basis", "units", "centre", "scale")
        )
        rows, rank = basis.shape
        fits = kept.shape == weights.shape == (rows,) and units.shape == (rank,)
        if not fits or centre.shape != scale.shape or centre.shape != (rank + MARKS,):
            raise ValueError("parts that do not fit together")
        if np.any(np.diff(kept) <= 0) or (rows and not 0 <= kept[0] <= kept[-1] < BUCKETS):
            raise ValueError("buckets out of order")
        if (
            not all(np.isfinite(part).all() for part in (weights, units, centre, scale))
            or (scale <= 0).any()
        ):
            raise ValueError("values that are no numbers")
        return cls(kept=kept, weights=weights, basis=basis, units=units, centre=centre, scale=scale)


def fit_space(texts: Sequence[str], *, seed: int = 0) -> tuple[Space, NDArray[np.float32]]:
    """Fit a space to texts, and their vectors in it.

    The basis is that of latent semantic analysis: the largest singular directions of the texts'
    tf-idf values.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    try:
        from scipy.sparse import csr_matrix  # noqa: PLC0415
        from sklearn.decomposition import TruncatedSVD  # noqa: PLC0415
    except ImportError as error:
        raise missing_scikit_learn() from error

    found = [featurise(text) for text in texts]
    seen = np.bincount(np.concatenate([one.buckets for one in found]), minlength=BUCKETS)
    least = 2 if len(found) > 3 else 1
    kept = np.flatnonzero(seen >= least).astype(np.int32)
    weights = (1 + np.log((1 + len(found)) / (1 + seen[kept]))).astype(np.float32)
    values, places, ends = [], [], [0]
    for one in found:
        where, value = _weighed(one, kept, weights)
        values.append(value)
        places.append(where)
        ends.append(ends[-1] + len(where))
    rank = min(_RANK, len(found) - 1, len(kept) - 1)
    if rank < 1:
        basis = np.zeros((len(kept), 0), np.float32)
    else:
        table = csr_matrix(
            (np.concatenate(values), np.concatenate(places), ends), shape=(len(found), len(kept))
        )
        # Texts that are all alike have no variance to explain a share of.
        with np.errstate(divide="ignore", invalid="ignore"):
            basis = TruncatedSVD(rank, random_state=seed).fit(table).components_.T
    units = np.maximum(np.abs(basis).max(axis=0, initial=0.0) / 127, 1e-12).astype(np.float32)
    whole = np.round(basis / units).astype(np.int8)
    raw = np.stack([_raw(one, kept, weights, whole, units) for one in found])
    space = Space(
        kept=kept,
        weights=weights,
        basis=whole,
        units=units,
        centre=raw.mean(axis=0),
        scale=np.maximum(raw.std(axis=0), 1e-4),
    )
    return space, space._scaled(raw)


def missing_scikit_learn() -> UsageError:
    """What to say where fitting lacks its library."""
    return UsageError(
        "fitting a classifier needs scikit-learn, which is not installed",
        hint="pip install 'pilotage[route]'",
    )


def _weighed(
    features: Features, kept: NDArray[np.int32], weights: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Places in `kept` and tf-idf values, together 1 long."""
    if not len(kept):
        return np.empty(0, np.int64), np.empty(0, np.float32)
    places = np.searchsorted(kept, features.buckets)
    there = kept[np.minimum(places, len(kept) - 1)] == features.buckets
    places = places[there]
    values = features.counts[there] * weights[places]
    length = float(np.sqrt(values @ values)) or 1.0
    return places, values / np.float32(length)


def _raw(
    features: Features,
    kept: NDArray[np.int32],
    weights: NDArray[np.float32],
    basis: NDArray[np.int8],
    units: NDArray[np.float32],
) -> NDArray[np.float32]:
    places, values = _weighed(features, kept, weights)
    on_basis = (values @ basis[places].astype(np.float32)) * units
    return np.concatenate([on_basis, features.marks])
