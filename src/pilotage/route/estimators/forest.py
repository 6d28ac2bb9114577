"""A forest of decision trees as plain arrays, evaluated with NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pilotage.route.estimators.arrays import packed, unpacked

MOST_DEPTH: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Trees whose leaves' mean is the prediction, several outputs at once.

    A node's left child, where the input is at most the threshold, is the next node (the trees lie
    depth first); a leaf is its own right child.

    Attributes:
        roots: First node of each tree.
        inputs: Which input a node asks about.
        thresholds: Up to which it goes left.
        left: The left child; of a leaf itself.
        right: The right child; of a leaf itself.
        values: A row a node, a column an output; of use at leaves.
        depth: Most steps from a root to a leaf.
    """

    roots: NDArray[np.int64]
    inputs: NDArray[np.int64]
    thresholds: NDArray[np.float32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    values: NDArray[np.float16]
    depth: int

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Outputs, a row an input row."""
        if not len(self.roots):
            return np.zeros((len(rows), self.values.shape[1]))
        found = [self._one(row) for row in rows]
        return np.stack(found) if found else np.empty((0, self.values.shape[1]))

    def _one(self, row: NDArray[np.float32]) -> NDArray[np.float64]:
        nodes = self.roots
        # take() on 64-bit places is what NumPy looks up fastest.
        for _ in range(self.depth):
            goes_left = row.take(self.inputs.take(nodes)) <= self.thresholds.take(nodes)
            nodes = np.where(goes_left, self.left.take(nodes), self.right.take(nodes))
        mean: NDArray[np.float64] = self.values.take(nodes, axis=0).astype(np.float64).mean(axis=0)
        return mean

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "roots": packed(self.roots, "<i4"),
            "inputs": packed(self.inputs, "<i2"),
            "thresholds": packed(self.thresholds, "<f4"),
            "right": packed(self.right, "<i4"),
            "values": packed(self.values, "<f2"),
            "depth": self.depth,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Forest:
        """The forest that `as_dict` wrote.

        Raises:
            ValueError: It is damaged; KeyError and TypeError likewise.
        """
        roots, inputs, thresholds, right, values = (
            unpacked(data[name]) for name in ("roots", "inputs", "thresholds", "right", "values")
        )
        depth, nodes = int(data["depth"]), len(right)
        fits = inputs.shape == thresholds.shape == right.shape == (nodes,)
        if not fits or values.ndim != 2 or len(values) != nodes or not 0 <= depth <= MOST_DEPTH:
            raise ValueError("parts that do not fit together")
        if nodes and (right < np.arange(nodes)).any():
            raise ValueError("a tree that runs in circles")
        if nodes and (right.max() >= nodes or inputs.min() < 0):
            raise ValueError("a tree with loose ends")
        # A left child is the next node, which the last one, being no leaf, would not have.
        if nodes and right[-1] != nodes - 1:
            raise ValueError("a tree with loose ends")
        if len(roots) and not (nodes and roots.min() >= 0 and roots.max() < nodes):
            raise ValueError("a tree without a root")
        if not np.isfinite(values).all():
            raise ValueError("values that are no numbers")
        return _forest(roots, inputs, thresholds, right, values, depth=depth)


def no_forest(outputs: int) -> Forest:
    """A forest without trees, which predicts zero."""
    nothing = np.empty(0, np.int64)
    values = np.empty((0, outputs), np.float16)
    return _forest(nothing, nothing, nothing.astype(np.float32), nothing, values, depth=0)


def forest_of(trees: Sequence[Any]) -> Forest:
    """The forest of scikit-learn's fitted regression trees of several outputs."""
    roots, inputs, thresholds, right, values, start = [], [], [], [], [], 0
    for one in trees:
        tree = one.tree_
        here = np.arange(tree.node_count)
        leaf = tree.children_left < 0
        roots.append(start)
        inputs.append(np.where(leaf, 0, tree.feature))
        # scikit-learn compares float32 inputs with float64 thresholds: the float32 at or beneath
        # the threshold makes the same choice.
        nearest = tree.threshold.astype(np.float32)
        beneath = np.nextafter(nearest, np.float32(-np.inf))
        thresholds.append(np.where(nearest > tree.threshold, beneath, nearest))
        right.append(start + np.where(leaf, here, tree.children_right))
        values.append(tree.value[:, :, 0])
        start += tree.node_count
    return _forest(
        np.array(roots),
        np.concatenate(inputs),
        np.concatenate(thresholds),
        np.concatenate(right),
        np.concatenate(values).astype(np.float16),
        depth=max(one.tree_.max_depth for one in trees),
    )


def _forest(
    roots: NDArray[np.int64],
    inputs: NDArray[np.int64],
    thresholds: NDArray[np.float32],
    right: NDArray[np.int64],
    values: NDArray[np.float16],
    *,
    depth: int,
) -> Forest:
    """A forest with the left children, which follow from the rest."""
    here = np.arange(len(right))
    return Forest(
        roots=roots.astype(np.int64),
        inputs=inputs.astype(np.int64),
        thresholds=thresholds.astype(np.float32),
        left=np.where(right == here, here, here + 1),
        right=right.astype(np.int64),
        values=values,
        depth=depth,
    )
