"""The parts of a step's duration at the hardware's peaks, before any efficiency is known."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from pilotage.plan.roofline.efficiency import Efficiency


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Seconds at the peak (or counts) that efficiencies turn into a duration.

    A duration is linear in them, so those of several steps can be added up, and efficiencies be
    fitted on the sum.

    Attributes:
        weights: Reading weights.
        cache: Reading and writing the KV cache.
        repeats: Reading the cache once more for every further query head of a group.
        activations: Passing activations between kernels.
        matrices: Products with dense weights.
        experts: Products with routed experts.
        attention: Attention, in 16 bits.
        vision: Encoding images, in 16 bits.
        wire: All-reduces, by their bytes.
        reductions: How many all-reduces.
        steps: How many steps.
        layers: How many layers they ran through.
        sequences: How many tokens they sampled.
    """

    weights: float = 0.0
    cache: float = 0.0
    repeats: float = 0.0
    activations: float = 0.0
    matrices: float = 0.0
    experts: float = 0.0
    attention: float = 0.0
    vision: float = 0.0
    wire: float = 0.0
    reductions: float = 0.0
    steps: float = 0.0
    layers: float = 0.0
    sequences: float = 0.0

    def seconds(self, efficiency: Efficiency) -> float:
        """The expected duration."""
        eff = efficiency
        return (
            (
                self.weights
                + self.cache
                + self.repeats * eff.repeats
                + self.activations * eff.activations
            )
            / eff.bandwidth
            + (self.matrices + self.experts / eff.experts + self.attention + self.vision)
            / eff.compute
            + self.wire / eff.link
            + self.reductions * eff.allreduce_s
            + self.steps * eff.step_s
            + self.layers * eff.layer_s
            + self.sequences * eff.sequence_s
        )

    def __add__(self, other: Parts) -> Parts:
        return Parts(
            **dict(
                zip(
                    self.__slots__,
                    (a + b for a, b in zip(astuple(self), astuple(other), strict=True)),
                    strict=True,
                )
            )
        )

    def times(self, count: float) -> Parts:
        """The parts of ``count`` equal steps."""
        return Parts(
            **dict(zip(self.__slots__, (count * value for value in astuple(self)), strict=True))
        )
