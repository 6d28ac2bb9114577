"""Fitting efficiencies: the most probable parameters given measurements and priors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage.plan.calibration.parameters import Setting, efficiency_of, priors
from pilotage.plan.calibration.prepared import Prepared

_NOISE: Final = 0.12
"""Standard deviation of a measurement's logarithm: what rows of one table scatter by, rounding
("7 ms") and unknown settings included."""

_TAIL: Final = 2.5
"""Residuals beyond so many deviations lose weight (as under a Student distribution)."""

_ROUNDS: Final = 30
_STEP: Final = 1e-4


def fit(rows: Sequence[Prepared]) -> dict[str, float]:
    """The parameters, in link space, that explain the rows best while staying near their priors.

    Minimises ``sum(rho(log(predicted / measured) / 0.12)) + sum(((x - mean) / deviation) ** 2)``
    by Gauss-Newton steps, re-weighted for outliers, with a numeric Jacobian. Without rows the
    answer is the priors' means.
    """
    settings = [Setting.of(row.accelerator, row.precision, row.measurement.engine) for row in rows]
    table = priors(settings)
    names = list(table)
    mean = np.array([table[name].mean for name in names])
    deviation = np.array([table[name].deviation for name in names])
    if not rows:
        return dict(zip(names, mean.tolist(), strict=True))
    measured = np.log([row.measurement.value for row in rows])

    def residuals(x: NDArray[np.float64]) -> NDArray[np.float64]:
        values: Mapping[str, float] = dict(zip(names, x.tolist(), strict=True))
        known = {one: efficiency_of(values, one, "") for one in set(settings)}
        predicted = [
            math.log(row.value(known[one])) for row, one in zip(rows, settings, strict=True)
        ]
        return (np.array(predicted) - measured) / _NOISE

    x = mean.copy()
    for _ in range(_ROUNDS):
        now = residuals(x)
        jacobian = np.empty((len(rows), len(names)))
        for column in range(len(names)):
            moved = x.copy()
            moved[column] += _STEP
            jacobian[:, column] = (residuals(moved) - now) / _STEP
        weight = 1 / (1 + (now / _TAIL) ** 2)
        curvature = jacobian.T @ (jacobian * weight[:, None]) + np.diag(deviation**-2.0)
        slope = jacobian.T @ (weight * now) + (x - mean) / deviation**2
        change = np.clip(np.linalg.solve(curvature, -slope), -1.0, 1.0)
        x += change
        if np.abs(change).max() < 1e-5:
            break
    return dict(zip(names, x.tolist(), strict=True))
