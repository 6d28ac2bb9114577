"""What software makes of hardware: shares of the peaks, and what every step costs besides."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """Calibrated factors of one (accelerator, precision, engine).

    Attributes:
        bandwidth: Share of the memory bandwidth that weights and cache are read at.
        compute: Share of the peak rate that matrix products reach.
        experts: Further share that the products of routed experts reach, tokens being sorted and
            experts unevenly full; 1 where there is no mixture.
        activations: Share of the bytes between kernels that passes through the memory; the rest
            stays in the device's caches or is fused away.
        repeats: Share of the cache that every further query head of a group reads again (0 when
            the attention kernel shares it, as current ones do).
        link: Share of the link's bandwidth that an all-reduce reaches.
        step_s: Seconds a step takes besides: scheduling, sampling, the launch of it all.
        layer_s: Seconds a layer adds to every step: kernel launches, norms, waits.
        sequence_s: Seconds a sequence adds to every step: sampling, detokenising, bookkeeping.
        allreduce_s: Seconds one all-reduce takes however small it is.
        source: What it was fitted on, or "prior: no measurement".
    """

    bandwidth: float
    compute: float
    experts: float = 0.6
    activations: float = 0.5
    repeats: float = 0.0
    link: float = 0.6
    step_s: float = 0.0
    layer_s: float = 0.0
    sequence_s: float = 0.0
    allreduce_s: float = 10e-6
    source: str = "prior: no measurement"


PERFECT = Efficiency(
    bandwidth=1.0,
    compute=1.0,
    experts=1.0,
    activations=0.0,
    link=1.0,
    allreduce_s=0.0,
    source="the hardware's own limits",
)
"""What no software can beat."""
