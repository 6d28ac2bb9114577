"""Requests to simulate: when each arrives and how long it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotage.errors import UsageError
from pilotage.plan.demand import Lengths
from pilotage.plan.step_model import EngineLimits

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# The standard normal's 99th percentile: a log-normal through p50 and p99 has
# mu = ln p50 and sigma = ln(p99 / p50) / 2.3263.
_Z99 = 2.3263478740408408


@dataclass(frozen=True, slots=True)
class Requests:
    """Arrivals in order of time.

    Attributes:
        times_s: Seconds from the beginning, ascending.
        prompt: Prompt tokens of each, images' tokens included.
        completion: Completion tokens of each, from 1.
        images: Images a request.
        duration_s: Seconds during which requests arrive.
    """

    times_s: Floats
    prompt: Ints
    completion: Ints
    duration_s: float
    images: int = 0

    def __post_init__(self) -> None:
        if not len(self.times_s) == len(self.prompt) == len(self.completion):
            raise UsageError("times, prompts and completions differ in number", where="requests")
        if not len(self.times_s):
            raise UsageError(
                "no request arrives", where="requests", hint="Simulate longer, or at a higher rate."
            )
        if (np.diff(self.times_s) < 0).any() or self.times_s[0] < 0:
            raise UsageError("arrival times must ascend from 0", where="requests")
        if self.prompt.min() < 1 or self.completion.min() < 1:
            raise UsageError("every request needs a token to read and one to write")

    def __len__(self) -> int:
        return len(self.times_s)

    def within(self, limits: EngineLimits) -> Requests:
        """The same with lengths cut to what a replica can hold.

        A client whose prompt is too long would be refused; here the prompt is cut, so that its
        load is not lost from the estimate. The completion ends where the model's context does,
        as it does in a server.
        """
        longest = min(limits.max_model_len, limits.kv_tokens)
        if longest < 2:
            raise UsageError(
                f"the KV cache holds {limits.kv_tokens} tokens and the model "
                f"{limits.max_model_len}: no request fits",
                where="limits",
            )
        prompt = np.minimum(self.prompt, longest - 1)
        completion = np.minimum(self.completion, longest - prompt)
        return Requests(self.times_s, prompt, completion, self.duration_s, self.images)


def draw_lengths(lengths: Lengths, count: int, random: np.random.Generator) -> Ints:
    """Token counts from the log-normal through ``lengths``, rounded, at least 1.

    Published traces have about this shape: for the Azure 2023 conversation trace the log-normal
    through p50 and p99 is within its rounding at those two points and close in between.
    """
    if not 0 < lengths.p50 <= lengths.p99:
        raise UsageError(
            f"p50 {lengths.p50:g} and p99 {lengths.p99:g} make no distribution", where="lengths"
        )
    sigma = np.log(lengths.p99 / lengths.p50) / _Z99
    drawn = np.exp(np.log(lengths.p50) + sigma * random.standard_normal(count))
    tokens: Ints = np.maximum(1, np.rint(drawn)).astype(np.int64)
    return tokens
