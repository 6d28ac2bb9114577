"""The gateway's admission, as the simulation plays it: refused at once if the first token is late.

The rule is that of `pilotage.serve.admission` for one worker, restated here because the planner
may not import the server: a request is admitted while ::

    max(wait for a slot, prefill of what is ahead) + own prefill + steps x step time
        <= 0.5 x target

and always when nothing is before it. The step time is smoothed over all steps, those that carry
prefill too: under load most of them do, and a slot frees up the later for it. Two things that the
server measures are computed here: its prefill rate (from steps at half the budget) and the usual
completion (the 90th percentile of the lengths, which it learns from those that ended).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pilotage.plan.simulate.replica import Replica
from pilotage.plan.simulate.requests import Ints
from pilotage.plan.simulate.step_table import StepTable

MARGIN: Final = 0.5
"""Share of the target that the prediction may fill, as in `pilotage.serve.admission`."""


class Admission:
    """Decides for each request whether its replica takes it.

    Args:
        target_s: The promised time to first token.
        table: What steps take.
        prompt: Prompt tokens of the requests to come.
        completion: Their completions' tokens.
        max_tokens: What a request allows for its completion; the largest there is if None.
    """

    def __init__(
        self,
        target_s: float,
        table: StepTable,
        prompt: Ints,
        completion: Ints,
        max_tokens: int | None = None,
    ) -> None:
        self._allowed = MARGIN * target_s
        self._budget = table.max_tokens
        self._usual = int(np.quantile(completion, 0.9, method="lower"))
        self._max_tokens = int(completion.max()) if max_tokens is None else max_tokens
        chunk = min(max(1, self._budget // 2), int(max(1.0, float(np.mean(prompt)))))
        marginal = table.step_s(chunk, chunk * (chunk + 1) / 2, 0, 0, 0)
        self._rate = chunk / marginal

    def admits(self, replica: Replica, new_tokens: int, now_s: float) -> bool:
        """Whether `replica` takes a request with so many prompt tokens now."""
        if not replica.outstanding:
            return True
        step = replica.step_s
        ahead = replica.backlog
        room = max(1, self._budget - replica.running)
        steps = 1 - (-(ahead + new_tokens) // room)
        short = replica.waiting + 1 - (replica.limits.max_num_seqs - replica.running)
        slots = self._slot_wait(replica, short, step, now_s) if short > 0 else 0.0
        predicted = max(slots, ahead / self._rate) + new_tokens / self._rate + steps * step
        return predicted <= self._allowed

    def _slot_wait(self, replica: Replica, short: int, step: float, now_s: float) -> float:
        ends = sorted(self._remaining(*each) * step for each in replica.generated(now_s))
        if not ends:
            return 0.0
        rounds, index = divmod(short - 1, len(ends))
        return ends[index] + rounds * ends[-1]

    def _remaining(self, generated: int, completion: int) -> int:
        """Tokens the server expects a sequence still to bring."""
        allowed = max(1, max(self._max_tokens, completion) - generated)
        usual = self._usual - generated
        return min(allowed, usual) if usual > 0 else allowed
