"""Step models for tests."""

from dataclasses import dataclass

from pilotage.plan.step_model import Batch


@dataclass(frozen=True)
class Affine:
    """A step's time as a sum; the step table holds such a model exactly."""

    step: float = 0.01
    token: float = 1e-4
    looked_at: float = 1e-7
    seq: float = 2e-4
    read: float = 1e-6
    image: float = 0.03

    def step_s(self, batch: Batch) -> float:
        return (
            self.step
            + self.token * batch.prefill_tokens
            + self.looked_at * batch.prefill_context
            + self.seq * batch.decode_seqs
            + self.read * batch.decode_context
            + self.image * batch.images
        )

    floor_s = step_s
    steps_s = step_s  # a sum of products: arrays of batches go through it as they are


@dataclass(frozen=True)
class Roofline:
    """An 8B model on an A100, roughly: the larger of compute and memory, and an overhead."""

    overhead: float = 0.002

    def step_s(self, batch: Batch) -> float:
        tokens = batch.prefill_tokens + batch.decode_seqs
        looked_at = batch.prefill_context + batch.decode_context
        compute = (16e9 * tokens + 4 * 32 * 4096 * looked_at) / 200e12
        memory = (16e9 + 131072 * (batch.decode_context + batch.prefill_tokens)) / 1.5e12
        return self.overhead + max(compute, memory) + 0.01 * batch.images

    floor_s = step_s
