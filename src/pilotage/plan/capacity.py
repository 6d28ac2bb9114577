"""How many requests a second one copy can keep its promises for: a first, quick estimate.

In the steady state of continuous batching every step takes in ``q`` new prompts and lets the same
number end, so ``n = q * (completion - 1)`` sequences decode and ``q * prompt`` tokens are read; the
step takes ``s(q)``, which the roofline knows, and the rate is ``q / s(q)``. More a step is a higher
rate and a slower step, so the most that the promises, the slots and the cache allow is found by
bisection. (Little's law: sequences in progress = rate x time in progress.)

It says which options are worth a simulation; what a plan states is simulated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilotage.plan.candidates import Layout
from pilotage.plan.question import Question
from pilotage.plan.step_model import Batch, StepModel

LOAD: Final = 0.85
"""Share of the saturated rate that a queue stays short at; a prior that simulation replaces."""

_ROUNDS: Final = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What one copy does at its limit.

    Attributes:
        requests_per_s: Highest rate that is estimated to keep the promises; 0 for none.
        step_s: Seconds of a step then.
        sequences: Sequences in progress then.
        bound: What ends it: "ttft_p99", "tpot_p99", "e2e_p99", "slots", "cache", "tokens a step".
        alone: By name, the promise that a lone request already breaks, and what it takes.
    """

    requests_per_s: float
    step_s: float
    sequences: float
    bound: str
    alone: tuple[tuple[str, float, float], ...] = ()


def capacity_of(question: Question, layout: Layout, model: StepModel) -> Capacity:
    """The estimate for one layout."""
    demand = question.demand
    prompt, completion = question.prompt_mean, question.completion_mean
    decodes = max(0.0, completion - 1)
    limits = layout.memory.limits
    context = prompt + completion / 2
    slots = min(
        float(limits.max_num_seqs),
        layout.memory.kv_tokens_at(round(min(prompt + completion, limits.max_model_len)))
        / (prompt + completion),
    )
    long_prompt = min(question.prompt_p99, limits.max_model_len)
    steps_of_prompt = -(-long_prompt // limits.max_num_batched_tokens)
    read_s = model.step_s(
        Batch(
            prefill_tokens=long_prompt,
            prefill_context=long_prompt * (long_prompt + 1) / 2,
            images=demand.images,
        )
    )

    def step_s(q: float) -> float:
        return model.step_s(
            Batch(
                prefill_tokens=max(1, round(q * prompt)) if q else 0,
                prefill_context=q * prompt * (prompt + 1) / 2,
                decode_seqs=max(1, round(q * decodes)) if decodes else 0,
                decode_context=max(1.0, q * decodes) * context,
                images=round(q * demand.images),
            )
        )

    def broken(s: float) -> tuple[str, float, float] | None:
        """The first promise that steps of ``s`` break: its name, seconds, those promised."""
        ttft = read_s + s * steps_of_prompt + s / 2
        if demand.ttft_p99 is not None and ttft > demand.ttft_p99:
            return "ttft_p99", ttft, demand.ttft_p99
        if demand.tpot_p99 is not None and decodes and s > demand.tpot_p99:
            return "tpot_p99", s, demand.tpot_p99
        answer = ttft + (question.completion_p99 - 1) * s
        if demand.e2e_p99 is not None and answer > demand.e2e_p99:
            return "e2e_p99", answer, demand.e2e_p99
        return None

    # So few a step that one sequence is in progress: no request is served faster than this.
    least = 1.0 / max(1.0, completion)
    fastest = model.step_s(
        Batch(decode_seqs=1, decode_context=context) if decodes else Batch(prefill_tokens=1)
    )
    if (alone := broken(fastest)) is not None or slots < 1:
        name = (alone or ("cache", 0.0, 0.0),)
        return Capacity(
            requests_per_s=0.0, step_s=fastest, sequences=1, bound=name[0][0], alone=name
        )

    most, bound = slots / max(1.0, completion), "slots"
    if slots < limits.max_num_seqs:
        bound = "cache"
    budget = limits.max_num_batched_tokens / (prompt + decodes)
    if budget < most:
        most, bound = budget, "tokens a step"
    low, high = min(least, most), most
    if (at_most := broken(step_s(high))) is not None:
        bound = at_most[0]
        for _ in range(_ROUNDS):
            middle = (low * high) ** 0.5
            if broken(step_s(middle)) is None:
                low = middle
            else:
                high = middle
        high = low
    taken = step_s(high)
    return Capacity(
        requests_per_s=LOAD * high / taken,
        step_s=taken,
        sequences=high * completion,
        bound=bound,
    )
