"""One replica: continuous batching, an engine step at a time.

The rules are vLLM V1's and our own worker's. In every step each decoding sequence gets one token;
what is left of the token budget goes to prompts in order of arrival, the last of them in part
(chunked prefill). A sequence is admitted while there is a slot and room in the KV cache for the
whole of it. (vLLM admits on the prompt alone and preempts when it was too bold; reserving the
length that the request turns out to have gives the same throughput as preempting rarely, and is
what a planner should count on.) Steps that only decode are taken together, up to the next one in
which something ends or somebody arrives.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heappop, heappush
from typing import Final

from pilotage.plan.simulate.step_table import StepTable
from pilotage.plan.step_model import EngineLimits

NEVER: Final = math.inf


_KEPT: Final = 0.7
"""What a step leaves of the smoothed step time before it, as in `pilotage.serve.models.replica`."""


_AFTER_ONE: Final = 1.0 - _KEPT**1
"""A step's weight in that mean."""


class Log:
    """What became of each request; times are seconds from the beginning, nan if never.

    Args:
        prompt: Prompt tokens of each request.
        completion: Completion tokens of each request.
        images: Images a request.
    """

    def __init__(self, prompt: list[int], completion: list[int], images: int) -> None:
        self.prompt = prompt
        self.completion = completion
        self.images = images
        self.first_s = [math.nan] * len(prompt)
        self.finish_s = [math.nan] * len(prompt)


class Replica:
    """The state of one engine.

    `end_s` is when its present step, or run of steps, ends; `step_s` what a step takes, smoothed
    over all of them as the gateway does, with those that carry prefill.
    """

    __slots__ = (
        "_backlog",
        "_began_s",
        "_completing",
        "_context",
        "_done",
        "_finishing",
        "_free_kv",
        "_log",
        "_prefilling",
        "_seqs",
        "_step",
        "_steps",
        "_table",
        "_tokens",
        "_waiting",
        "busy_s",
        "end_s",
        "limits",
        "outstanding",
        "prefill_tokens",
        "step_s",
    )

    def __init__(self, table: StepTable, limits: EngineLimits, log: Log) -> None:
        self.limits = limits
        self.end_s = NEVER
        self.busy_s = 0.0
        self.outstanding = 0
        self.prefill_tokens = 0
        self.step_s = 0.0
        self._table = table
        self._log = log
        self._waiting: deque[int] = deque()
        self._prefilling: deque[int] = deque()
        self._done = 0
        self._completing: list[int] = []
        self._finishing: list[tuple[int, int]] = []
        self._seqs = 0
        self._context = 0
        self._free_kv = limits.kv_tokens
        self._backlog = 0
        self._step = 0
        self._steps = 1
        self._began_s = 0.0
        self._tokens = 0

    @property
    def running(self) -> int:
        """Sequences that hold a slot."""
        return self._seqs + len(self._prefilling) + len(self._completing)

    @property
    def waiting(self) -> int:
        """Requests without a slot."""
        return len(self._waiting)

    @property
    def backlog(self) -> int:
        """Prompt tokens that are not through prefill, those of waiting requests included."""
        return self._backlog

    def generated(self, now_s: float) -> list[tuple[int, int]]:
        """Tokens that each slot's sequence has produced, and those of its completion."""
        step, log = self._step, self._log
        if self._steps > 1 and self.end_s > self._began_s:
            step += int(self._steps * (now_s - self._began_s) / (self.end_s - self._began_s))
        have = [
            (log.completion[request] - (last - step), log.completion[request])
            for last, request in self._finishing
        ]
        pending = (*self._completing, *self._prefilling)
        return have + [(0, log.completion[request]) for request in pending]

    def add(self, request: int, now_s: float) -> None:
        """Queue a request. An idle replica begins at once; a busy one after its present step."""
        self.outstanding += 1
        self._backlog += self._log.prompt[request]
        self._waiting.append(request)
        if self.end_s == NEVER:
            self._begin(now_s)
        elif self._steps > 1:
            self._cut(now_s)

    def advance(self) -> list[int]:
        """End the present step and begin the next; the requests that finished."""
        now, log, steps = self.end_s, self._log, self._steps
        took = now - self._began_s
        self.busy_s += took
        # So many equal steps are taken into the mean: m + (s - m) (1 - (1 - w)^steps).
        new = (_AFTER_ONE if steps == 1 else 1.0 - _KEPT**steps) if self.step_s else 1.0
        self.step_s += new * (took / steps - self.step_s)
        self._step = step = self._step + steps
        self._context += steps * self._seqs
        finishing, finished = self._finishing, []
        while finishing and finishing[0][0] == step:
            finished.append(heappop(finishing)[1])
        if finished:
            self._seqs -= len(finished)
            for request in finished:
                self._context -= log.prompt[request] + log.completion[request]
        self._backlog -= self._tokens
        self.prefill_tokens += self._tokens
        if self._completing:
            for request in self._completing:
                log.first_s[request] = now
                more = log.completion[request] - 1
                if more:
                    heappush(finishing, (step + more, request))
                    self._seqs += 1
                    self._context += log.prompt[request] + 1
                else:
                    finished.append(request)
            self._completing = []
        if finished:
            for request in finished:
                log.finish_s[request] = now
                self._free_kv += log.prompt[request] + log.completion[request]
            self.outstanding -= len(finished)
        self._begin(now)
        return finished

    def take_back(self) -> list[int]:
        """Lose everything: the requests that have to begin anew elsewhere, oldest first."""
        lost = [request for _, request in self._finishing]
        lost += [*self._completing, *self._prefilling, *self._waiting]
        for request in lost:
            self._log.first_s[request] = math.nan
        self.outstanding = 0
        self.end_s = NEVER
        return sorted(lost)

    def _begin(self, now_s: float) -> None:
        waiting, prefilling, seqs = self._waiting, self._prefilling, self._seqs
        if waiting:
            log, slots = self._log, self.limits.max_num_seqs - seqs
            while waiting and len(prefilling) < slots:
                need = log.prompt[waiting[0]] + log.completion[waiting[0]]
                if need > self._free_kv:
                    break
                self._free_kv -= need
                prefilling.append(waiting.popleft())
        self._began_s = now_s
        if prefilling:
            room = self.limits.max_num_batched_tokens - seqs
            if room > 0:
                self.end_s = now_s + self._prefill_step_s(room)
                self._steps = 1
                return
        self._tokens = 0
        if not seqs:
            self.end_s = NEVER
            return
        steps = self._finishing[0][0] - self._step
        # One waiting for a slot cannot enter before somebody ends, nor can a chunk without room.
        self._steps = steps
        self.end_s = now_s + self._run_s(steps)

    def _run_s(self, steps: int) -> float:
        """Seconds of decode steps in a row: each reads a token a sequence more than the last.

        A step takes ``a + b i``, so ``steps`` of them ``a k + b k (k - 1) / 2``.
        """
        slope = self._table.decode_s_a_token[self._seqs]
        first = self._table.decode_s[self._seqs] + slope * self._context
        return steps * first + slope * self._seqs * (steps * (steps - 1) // 2)

    def _cut(self, now_s: float) -> None:
        """Somebody came: end the run of steps with the step in hand."""
        whole, begun = self._steps, self._began_s
        passed = now_s - begun
        slope = self._table.decode_s_a_token[self._seqs]
        first = self._table.decode_s[self._seqs] + slope * self._context
        rise = slope * self._seqs / 2
        # The least k with k (first - rise) + rise k^2 >= passed, put right by one where rounding
        # has moved it.
        linear = first - rise
        if rise > 0:
            root = (math.sqrt(linear * linear + 4 * rise * passed) - linear) / (2 * rise)
        else:
            root = passed / first
        steps = min(whole, max(1, math.ceil(root)))
        while steps > 1 and self._run_s(steps - 1) >= passed:
            steps -= 1
        while steps < whole and self._run_s(steps) < passed:
            steps += 1
        if steps < whole:
            self._steps = steps
            self.end_s = begun + self._run_s(steps)

    def _prefill_step_s(self, room: int) -> float:
        """Choose the chunks of a step; its duration."""
        log, prefilling = self._log, self._prefilling
        left, done, looked_at, begun = room, self._done, 0, 0
        while prefilling and left:
            prompt = log.prompt[prefilling[0]]
            chunk = prompt - done
            chunk = min(chunk, left)
            begun += not done
            # A prompt's token number j looks at j tokens, itself included.
            looked_at += chunk * done + chunk * (chunk + 1) // 2
            left -= chunk
            done += chunk
            if done == prompt:
                self._completing.append(prefilling.popleft())
                done = 0
        self._done = done
        self._tokens = room - left
        return self._table.step_s(
            self._tokens, looked_at, self._seqs, self._context, begun * log.images
        )
