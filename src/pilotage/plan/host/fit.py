"""Efficiencies of this machine from a few measured engine steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage.catalog.accelerators import Accelerator
from pilotage.errors import UsageError
from pilotage.plan.roofline import Efficiency, Parts, RooflineModel
from pilotage.plan.step_model import Batch

_NOISE: Final = 0.05
"""Standard deviation of a step's logarithm that is taken for noise."""

_PRIOR: Final = np.log([1 / 0.8, 1 / 0.5, 1e-3, 50e-6])
_DEVIATION: Final = np.array([1.0, 1.0, 1.5, 1.5])
"""Of 1 / bandwidth's share, 1 / compute's share, seconds a step, seconds a sequence: wide, they
only matter where the steps do not tell two of them apart."""

_ROUNDS: Final = 60


@dataclass(frozen=True, slots=True)
class HostFit:
    """What a host turned out to be.

    Attributes:
        device: With its figures raised where the engine's steps prove that they were measured
            too low (weights that stay in a cache are read faster than the memory could).
        efficiency: Fitted shares, none above 1.
        error: Median relative error of the fit on its own steps.
    """

    device: Accelerator
    efficiency: Efficiency
    error: float


def fit_host(model: RooflineModel, steps: Sequence[tuple[Batch, float]], source: str) -> HostFit:
    """The efficiency that explains the steps of an engine on this machine best.

    A step's time is linear in four unknowns: ``bytes * x0 + operations * x1 + x2 + sequences * x3``
    with bytes and operations in seconds at the measured peaks. They are found in the logarithm,
    which keeps them positive, by Gauss-Newton steps on the steps' relative errors.

    Args:
        model: Of the model that ran, on the measured device.
        steps: Batches and the seconds each took; some prefills and decodes of several sizes.
        source: What is written into the efficiency.

    Raises:
        UsageError: There is no step, or one without a positive duration.
    """
    if not steps or any(not seconds > 0 for _, seconds in steps):
        raise UsageError("calibration needs steps with positive durations")
    rows = np.array([_row(model.parts_of(batch)) for batch, _ in steps])
    measured = np.log([seconds for _, seconds in steps])
    x = _solved(rows, measured)
    slow_memory, slow_compute, step_s, sequence_s = np.exp(x).tolist()
    error = float(np.median(np.abs(np.exp(np.log(rows @ np.exp(x)) - measured) - 1)))
    device = model.accelerator
    raised = replace(
        device,
        bandwidth=device.bandwidth * max(1.0, 1 / slow_memory),
        fp16=device.fp16 * max(1.0, 1 / slow_compute),
    )
    efficiency = Efficiency(
        bandwidth=min(1.0, 1 / slow_memory),
        compute=min(1.0, 1 / slow_compute),
        experts=1.0,
        activations=0.0,
        step_s=step_s,
        sequence_s=sequence_s,
        source=source,
    )
    return HostFit(raised, efficiency, error)


def _row(parts: Parts) -> list[float]:
    # Activations stay in a CPU's caches, and what does not is in the compute share.
    return [
        parts.weights + parts.cache,
        parts.matrices + parts.experts + parts.attention + parts.vision,
        1.0,
        parts.sequences,
    ]


def _solved(rows: NDArray[np.float64], measured: NDArray[np.float64]) -> NDArray[np.float64]:
    x: NDArray[np.float64] = _PRIOR.copy()
    for _ in range(_ROUNDS):
        shares = rows * np.exp(x)
        total = shares.sum(axis=1)
        residual = (np.log(total) - measured) / _NOISE
        jacobian = shares / total[:, None] / _NOISE
        curvature = jacobian.T @ jacobian + np.diag(_DEVIATION**-2.0)
        slope = jacobian.T @ residual + (x - _PRIOR) / _DEVIATION**2
        change = np.clip(np.linalg.solve(curvature, -slope), -0.7, 0.7)
        x = x + change
        if np.abs(change).max() < 1e-9:
            break
    return x
