"""A memory plan: the terms of what one rank holds, and which sequences fit in the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pilotage.catalog.anatomy import Anatomy
from pilotage.plan.memory.cache import image_bytes, sequence_bytes
from pilotage.plan.precision import Precision
from pilotage.plan.step_model import EngineLimits
from pilotage.plan.terms import Sum, Term

BLOCK_TOKENS = 16
"""Tokens a block of vLLM's cache holds: a sequence takes whole blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """What the fullest rank holds.

    Attributes:
        memory_bytes: The accelerator's (or machine's) memory.
        budget_bytes: What of it may be used.
        terms: Weights, activation peak, runtime … and the KV cache, which is what is left.
        kv_bytes: Of the cache; 0 when nothing is left.
        shortfall_bytes: What is missing before one sequence of `max_model_len` tokens (with its
            images) fits; 0 when it does.
        max_model_len: Longest sequence, tokens.
        max_num_seqs: Sequences at once, at most.
        max_num_batched_tokens: Tokens a step, at most.
        image_bytes: Cross-attention cache of one sequence's images on this rank.
    """

    memory_bytes: int
    budget_bytes: float
    terms: Sum
    kv_bytes: float
    shortfall_bytes: float
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    image_bytes: float
    _sequence: Callable[[float], float]

    @property
    def fits(self) -> bool:
        """Whether the model and one longest sequence fit."""
        return self.shortfall_bytes <= 0

    @property
    def limits(self) -> EngineLimits:
        """What an engine with this memory may hold."""
        return EngineLimits(
            max_num_seqs=self.max_num_seqs,
            max_num_batched_tokens=self.max_num_batched_tokens,
            kv_tokens=self.kv_tokens,
            max_model_len=self.max_model_len,
        )

    @property
    def kv_tokens(self) -> int:
        """Tokens that the cache holds in sequences of `max_model_len`; see `kv_tokens_at`."""
        return self.kv_tokens_at(self.max_model_len)

    def kv_tokens_at(self, length: int) -> int:
        """Tokens that the cache holds in sequences of ``length`` tokens.

        It depends on the length where layers see a window, keep a state, or look at images.
        """
        each = self.sequence_bytes(length)
        if each <= 0:  # an encoder has no cache: nothing limits it
            return self.max_num_seqs * length
        return int(self.kv_bytes / each * length)

    def sequence_bytes(self, length: float) -> float:
        """Bytes of the cache that a sequence of ``length`` tokens takes, its images included."""
        return self._sequence(length) + self.image_bytes

    def seqs_that_fit(self, length: int) -> int:
        """Sequences of ``length`` tokens that run at once, at most `max_num_seqs`."""
        each = self.sequence_bytes(-(-length // BLOCK_TOKENS) * BLOCK_TOKENS)
        if each <= 0:
            return self.max_num_seqs
        return min(self.max_num_seqs, int(self.kv_bytes / each))

    @staticmethod
    def of(
        anatomy: Anatomy,
        precision: Precision,
        *,
        fixed: Sum,
        memory_bytes: int,
        budget_bytes: float,
        budget_formula: str,
        tensor_parallel: int,
        pipeline_parallel: int,
        max_model_len: int,
        max_num_seqs: int,
        max_num_batched_tokens: int,
        images: int,
        sequence: Callable[[float], float] | None = None,
    ) -> MemoryPlan:
        """Gives the cache what the fixed terms leave of the budget.

        ``sequence`` gives the bytes of a sequence by its length where the engine has a cache of
        its own; the other arguments are those of `memory_of`.
        """

        def of_anatomy(length: float) -> float:
            return sequence_bytes(
                anatomy,
                precision,
                length,
                tensor_parallel=tensor_parallel,
                pipeline_parallel=pipeline_parallel,
            )

        cached = sequence or of_anatomy
        seen = images * image_bytes(
            anatomy,
            precision,
            tensor_parallel=tensor_parallel,
            pipeline_parallel=pipeline_parallel,
        )
        left = budget_bytes - fixed.value
        kv_bytes = 0.0 if anatomy.encoder else max(0.0, left)
        longest = cached(max_model_len) + seen
        terms = fixed.terms
        if not anatomy.encoder:
            a_token = (cached(2 * max_model_len) - cached(max_model_len)) / max_model_len
            terms += (
                Term(
                    "KV cache",
                    kv_bytes,
                    "B",
                    f"{budget_formula} - {fixed.value / 2**30:.2f} GiB;"
                    f" {a_token:,.0f} B a further token"
                    + (f", {seen / 2**20:,.0f} MiB a sequence's images" if seen else ""),
                    "what the budget leaves, as vLLM fills it",
                ),
            )
        return MemoryPlan(
            memory_bytes=memory_bytes,
            budget_bytes=budget_bytes,
            terms=Sum("memory of one rank", terms),
            kv_bytes=kv_bytes,
            shortfall_bytes=max(0.0, longest - left),
            max_model_len=max_model_len,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            image_bytes=seen,
            _sequence=cached,
        )
