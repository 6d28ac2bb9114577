"""From logits to tokens, for a batch whose rows are each sampled their own way.

The order is the field's (vLLM): the model's logits, penalties, then temperature, ``top_k``,
``min_p`` and ``top_p`` of what is left. A row's randomness is one uniform number a token from
its own generator, so that who else is in the batch changes nothing.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import torch

from pilotage.engines.engine import SamplingParams

GREEDY_BELOW = 1e-4
"""A lower temperature is taken as 0."""


@dataclass(slots=True)
class Sampler:
    """How one sequence is sampled, and what it has brought so far."""

    params: SamplingParams
    prompt: frozenset[int] = frozenset()
    generated: Counter[int] = field(default_factory=Counter)
    count: int = 0
    random: random.Random = field(default_factory=random.Random)

    @classmethod
    def of(cls, params: SamplingParams, prompt_ids: list[int]) -> Sampler:
        """For a new sequence."""
        seen = frozenset(prompt_ids) if params.repetition_penalty != 1.0 else frozenset[int]()
        # Not for secrets; a seed must give the same tokens again.
        return cls(params, seen, random=random.Random(params.seed))  # noqa: S311

    @property
    def greedy(self) -> bool:
        """Whether the best token is taken."""
        return self.params.temperature < GREEDY_BELOW

    @property
    def stops(self) -> tuple[int, ...]:
        """Tokens that end the sequence."""
        return () if self.params.ignore_eos else self.params.stop_token_ids

    def took(self, token: int) -> None:
        """Note a token."""
        self.count += 1
        self.generated[token] += 1

    @property
    def adjusts(self) -> bool:
        """Whether `adjust` changes anything now."""
        p = self.params
        return (
            (self.count < p.min_tokens and bool(self.stops))
            or p.repetition_penalty != 1.0
            or (bool(self.generated) and bool(p.presence_penalty or p.frequency_penalty))
        )

    def adjust(self, logits: torch.Tensor) -> None:
        """Apply penalties, and forbid stop tokens before ``min_tokens``, in place."""
        p, vocabulary, device = self.params, logits.shape[-1], logits.device
        if p.repetition_penalty != 1.0:
            known = [n for n in self.prompt | self.generated.keys() if n < vocabulary]
            ids = torch.tensor(known, dtype=torch.long, device=device)
            values = logits[ids]
            logits[ids] = torch.where(
                values > 0, values / p.repetition_penalty, values * p.repetition_penalty
            )
        if self.generated and (p.presence_penalty or p.frequency_penalty):
            ids = torch.tensor(list(self.generated), dtype=torch.long, device=device)
            counts = torch.tensor(list(self.generated.values()), dtype=logits.dtype, device=device)
            logits[ids] -= p.presence_penalty + p.frequency_penalty * counts
        if self.count < p.min_tokens:
            for token in self.stops:
                if token < vocabulary:
                    logits[token] = -torch.inf


@dataclass(frozen=True, slots=True)
class Choice:
    """The next token of one row; ``token`` is None when the model computed no numbers."""

    token: int | None
    logprob: float | None


def choose(logits: torch.Tensor, samplers: list[Sampler]) -> list[Choice]:
    """The next token of every row of ``logits`` ``[rows, vocabulary]``.

    A log-probability is that of the model itself: before penalties and temperature.
    """
    logits = logits.float()
    adjusted = logits
    if any(sampler.adjusts for sampler in samplers):
        adjusted = logits.clone()
        for row, sampler in enumerate(samplers):
            if sampler.adjusts:
                sampler.adjust(adjusted[row])
    tokens = adjusted.argmax(-1)
    drawn = [row for row, sampler in enumerate(samplers) if not sampler.greedy]
    if drawn:
        rows = torch.tensor(drawn, device=logits.device)
        tokens[rows] = _draw(adjusted[rows], [samplers[row] for row in drawn])
    broken = logits.isnan().any(-1)
    wanted = any(sampler.params.logprobs for sampler in samplers)
    logprobs = (
        (logits.gather(-1, tokens[:, None])[:, 0] - logits.logsumexp(-1)).tolist()
        if wanted
        else [None] * len(samplers)
    )
    return [
        Choice(None if bad else token, logprob if sampler.params.logprobs else None)
        for token, bad, logprob, sampler in zip(
            tokens.tolist(), broken.tolist(), logprobs, samplers, strict=True
        )
    ]


def _draw(logits: torch.Tensor, samplers: list[Sampler]) -> torch.Tensor:
    def column(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, device=logits.device)[:, None]

    params = [sampler.params for sampler in samplers]
    vocabulary = logits.shape[-1]
    limits = [p.top_k if 0 < p.top_k < vocabulary else vocabulary for p in params]
    scaled = logits / column([p.temperature for p in params])
    values, order = scaled.topk(max(limits), dim=-1)  # sorted; all of them where a row wants all
    ranks = torch.arange(values.shape[-1], device=logits.device)
    values = values.masked_fill(ranks >= column([float(k) for k in limits]), -torch.inf)
    shares = values.softmax(-1)
    shares = shares.where(shares >= shares[:, :1] * column([p.min_p for p in params]), 0.0)
    before = shares.cumsum(-1) - shares
    total = shares.sum(-1, keepdim=True)
    kept = shares.where((before < column([p.top_p for p in params]) * total) | (ranks == 0), 0.0)
    running = kept.cumsum(-1)
    aim = column([sampler.random.random() for sampler in samplers]) * running[:, -1:]
    place = (running <= aim).sum(-1, keepdim=True)
    last = (kept > 0).sum(-1, keepdim=True) - 1  # rounding must not reach what was cut away
    return order.gather(-1, torch.minimum(place, last))[:, 0]
