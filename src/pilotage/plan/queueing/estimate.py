"""A first estimate of a replica's latencies, thousands of times faster than a simulation.

A replica that batches is seen as a queue with ``max_num_seqs`` servers (or as many as its KV cache
holds), each of which serves a request in its prefill and decode time in the batch that Little's
law expects. The batch and the step time depend on one another; the fixed point is found by
bisection, as step time never falls with the batch.

The estimate leaves out what a simulation shows: requests that join wait for the step in hand
(half a step is added), prefills that delay others' decode only on average, bursts. It is for
leaving out configurations that cannot do, not for promising percentiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pilotage.plan.queueing.erlang import erlang_c
from pilotage.plan.queueing.general import mgc_wait_s
from pilotage.plan.step_model import Batch, EngineLimits, StepModel


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEstimate:
    """What a replica would do at a rate.

    Attributes:
        stable: Whether it keeps up; if not, the rest describes a full batch.
        seqs: Sequences that decode at once, on average.
        step_s: Seconds of a mean decode step, prefill of others included.
        ttft_s: Mean seconds to the first token.
        e2e_s: Mean seconds to the last.
        utilisation: Mean share of the slots in use.
        wait_probability: Share of the requests that wait for a slot.
    """

    stable: bool
    seqs: float
    step_s: float
    ttft_s: float
    e2e_s: float
    utilisation: float
    wait_probability: float


def estimate(
    model: StepModel,
    limits: EngineLimits,
    *,
    rate: float,
    prompt: float,
    completion: float,
    images: int = 0,
    cv: float = 1.0,
) -> QueueEstimate:
    """Mean behaviour of one replica.

    Args:
        model: What a step takes.
        limits: What the replica may hold.
        rate: Requests a second that it is given.
        prompt: Mean prompt tokens.
        completion: Mean completion tokens.
        images: Images a request.
        cv: Coefficient of variation of the service time; lengths vary about as much as that.
    """
    slots = max(1, min(limits.max_num_seqs, int(limits.kv_tokens / (prompt + completion))))
    context = prompt + completion / 2
    chunk = max(1, min(round(prompt), limits.max_num_batched_tokens))

    def step(seqs: float) -> float:
        """A decode step of so many, interpolated between whole numbers from 1."""
        whole = max(1, int(seqs))
        low, high = (
            model.step_s(Batch(decode_seqs=n, decode_context=n * context))
            for n in (whole, whole + 1)
        )
        return low + max(0.0, seqs - whole) * (high - low)

    def mixed(seqs: int) -> float:
        """A step that reads a prompt (or as much as fits) beside so many decoding sequences."""
        return model.step_s(
            Batch(
                prefill_tokens=chunk,
                prefill_context=chunk * (chunk + 1) / 2,
                decode_seqs=seqs,
                decode_context=seqs * context,
                images=images,
            )
        )

    def prefill(seqs: float) -> float:
        """What one request's prefill adds to the steps of so many decoding sequences."""
        n = max(1, min(round(seqs), limits.max_num_batched_tokens - chunk))
        return max(0.0, mixed(n) - step(n)) * prompt / chunk

    def effective_step(seqs: float) -> float:
        """A step and its share of the prefills that come in meanwhile: s = d + rate s p."""
        left = 1 - rate * prefill(seqs)
        return step(seqs) / left if left > 0 else float("inf")

    def wanted(seqs: float) -> float:
        """Little's law: sequences in decode = rate x completion x step."""
        return rate * max(0.0, completion - 1) * effective_step(seqs)

    stable = wanted(slots) < slots
    low, high = 0.0, float(slots)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if wanted(middle) > middle else (low, middle)
    seqs = high
    decode = effective_step(seqs)
    if decode == float("inf"):
        decode = step(seqs) + prefill(seqs)
    # With so many in decode on average, independent of one another, the engine is free of them
    # with probability exp(-seqs) (M/G/infinity: the number present is Poisson).
    free = math.exp(-seqs)
    beside = mixed(max(1, min(round(seqs), limits.max_num_batched_tokens - chunk)))
    own = (free * mixed(0) + (1 - free) * beside) * prompt / chunk
    service = own + max(0.0, completion - 1) * decode
    stable = stable and rate * service < slots and rate * own < 1
    wait = mgc_wait_s(rate, service, slots, cv)
    # Who comes waits for the rest of the step in hand, and for others' prefills.
    joined = (1 - free) * decode / 2 + rate * own * own / 2
    return QueueEstimate(
        stable=stable,
        seqs=seqs,
        step_s=decode,
        ttft_s=wait + joined + own,
        e2e_s=wait + joined + service,
        utilisation=min(1.0, rate * service / slots),
        wait_probability=erlang_c(rate * service, slots),
    )
