"""What an engine's step costs: the seam between the roofline and the simulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:  # options are read without NumPy
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one engine step processes.

    Attributes:
        prefill_tokens: Prompt tokens of this step (chunks of several prompts together).
        prefill_context: Sum over those tokens of the tokens each of them looks at.
        decode_seqs: Sequences that get one more token.
        decode_context: Sum over those sequences of the cached tokens each of them reads.
        images: Images encoded in this step.
    """

    prefill_tokens: int = 0
    prefill_context: float = 0.0
    decode_seqs: int = 0
    decode_context: float = 0.0
    images: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batches:
    """Many of them: arrays of one shape, as `Batch` has them."""

    prefill_tokens: NDArray[np.int64]
    prefill_context: NDArray[np.float64]
    decode_seqs: NDArray[np.int64]
    decode_context: NDArray[np.float64]
    images: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """What one replica's engine may hold.

    Attributes:
        max_num_seqs: Sequences at once.
        max_num_batched_tokens: Tokens a step.
        kv_tokens: Tokens that the KV cache holds.
        max_model_len: Longest sequence.
    """

    max_num_seqs: int
    max_num_batched_tokens: int
    kv_tokens: int
    max_model_len: int


class StepModel(Protocol):
    """Predicts the duration of a step on one replica."""

    def step_s(self, batch: Batch) -> float:
        """Expected seconds."""

    def floor_s(self, batch: Batch) -> float:
        """Seconds that no software can beat on this hardware."""


@runtime_checkable
class ManyStepsModel(StepModel, Protocol):
    """A step model that is quicker for many steps at once, with the same figures."""

    def steps_s(self, batches: Batches) -> NDArray[np.float64]:
        """Expected seconds of each."""
