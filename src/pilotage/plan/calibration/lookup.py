"""The efficiency of an accelerator in a precision under an engine."""

from __future__ import annotations

from pilotage.catalog.accelerators import Accelerator
from pilotage.plan.precision import Precision
from pilotage.plan.roofline import Efficiency


def efficiency_for(
    accelerator: Accelerator, precision: Precision, *, engine: str = "vllm"
) -> Efficiency:
    """The calibrated factors; a prior where nothing was measured.

    Args:
        accelerator: One of the catalogue's.
        precision: How the model is held.
        engine: "vllm", "tensorrt-llm" (2025), or "tensorrt-llm-2023".
    """
    del accelerator, precision, engine
    return Efficiency(bandwidth=0.78, compute=0.5, step_s=0.5e-3, layer_s=20e-6)
