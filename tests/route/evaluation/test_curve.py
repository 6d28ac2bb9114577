"""Curves: the hull covers every point and is as low as it can be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.evaluation.curve import joined_curve, upper_hull

_POINTS = st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 1)), min_size=1, max_size=12).map(
    np.array
)


@given(_POINTS)
def test_the_hull_is_concave_rises_and_covers_every_point(points: np.ndarray) -> None:
    hull = upper_hull(points[:, 0], points[:, 1])
    assert (np.diff(hull.cost) > 0).all() and (np.diff(hull.quality) > 0).all()
    slopes = np.diff(hull.quality) / np.diff(hull.cost)
    assert (np.diff(slopes) <= 1e-6 * np.abs(slopes[:-1])).all()
    assert (hull.at(points[:, 0]) >= points[:, 1] - 1e-9).all()
    assert hull.quality[-1] == points[:, 1].max()
    assert (points[hull.place] == np.stack([hull.cost, hull.quality], axis=1)).all()


@given(_POINTS)
def test_no_curve_is_above_the_hull(points: np.ndarray) -> None:
    cost, quality = points[:, 0], points[:, 1]
    hull, joined = upper_hull(cost, quality), joined_curve(cost, quality)
    assert joined.area(0.01, 10) <= hull.area(0.01, 10) + 1e-9


def test_the_area_is_the_mean_height_and_level_beyond_the_end() -> None:
    curve = upper_hull(np.array([1.0, 3.0]), np.array([0.2, 0.6]))
    assert curve.area(1, 3) == pytest.approx(0.4)
    assert curve.area(1, 5) == pytest.approx(0.5)
    assert curve.area(2, 2) == pytest.approx(0.4)


def test_a_quality_is_had_by_mixing_two_neighbours() -> None:
    curve = upper_hull(np.array([1.0, 9.0, 3.0, 2.0]), np.array([0.2, 0.1, 0.6, 0.3]))
    assert curve.mix_at(0.5) == pytest.approx((0, 2, 0.75))
    assert curve.mix_at(0.1) == (0, 0, 0.0)
    assert curve.mix_at(0.6) == pytest.approx((0, 2, 1.0))
    assert curve.mix_at(0.7) is None


def test_a_joined_curve_keeps_its_dents() -> None:
    curve = joined_curve(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.3, 0.7]))
    assert curve.at(np.array([2.0])) == pytest.approx([0.3])
    assert curve.mix_at(0.5) == (0, 0, 0.0)
    assert curve.mix_at(0.6) == pytest.approx((1, 2, 0.75))
