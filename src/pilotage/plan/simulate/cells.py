"""Many independent replicas, or groups of them, advanced together in arrays.

A *cell* is a group of replicas behind one least-loaded router and its own stretch of arrivals.
Cells know nothing of one another, so all of them advance at once: each round takes the next event
of every cell, an arrival or the end of a step, and treats all cells' events with a few dozen array
operations. The rules are `Replica`'s, and tests hold the two side by side; what differs is how
state is kept:

- Requests of a replica are served in order, so prefill is one number a replica: how far it has
  come in the replica's stream of prompt tokens, put end to end. Where a chunk ends follows from
  each request's place in that stream.
- Slots and KV cache are handed out in the same order, so admission is one number too: up to which
  token of the stream requests have been admitted.
- A decoding sequence ends at a known step of its replica. It waits in a calendar with one linked
  list a step, as long as the longest completion, so that a step costs the same for one sequence
  and for hundreds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotage.plan.simulate.requests import Floats, Ints
from pilotage.plan.simulate.step_table import StepTable
from pilotage.plan.step_model import EngineLimits

_NONE = -1


@dataclass(frozen=True, slots=True)
class CellRequests:
    """The arrivals of all cells, one cell's after the other's.

    Attributes:
        times_s: Ascending within a cell.
        prompt: Prompt tokens.
        completion: Completion tokens.
        counted: Whether a request is one to wait for; a cell ends with the last of them.
        bounds: Where each cell's begin, and where the last one's end.
        images: Images a request.
    """

    times_s: Floats
    prompt: Ints
    completion: Ints
    counted: NDArray[np.bool_]
    bounds: Ints
    images: int


class Cells:
    """All cells' state.

    Args:
        requests: Who arrives where.
        table: What steps take.
        limits: What a replica may hold.
        replicas: Replicas a cell.
        busy_from: By cell, the time from which on busy time counts.
        busy_until: By cell, the time until which it counts.
    """

    def __init__(
        self,
        requests: CellRequests,
        table: StepTable,
        limits: EngineLimits,
        *,
        replicas: int,
        busy_from: Floats,
        busy_until: Floats,
    ) -> None:
        count, cells = len(requests.times_s), len(requests.bounds) - 1
        lanes = cells * replicas
        self._table, self._limits, self._replicas = table, limits, replicas
        self._prompt, self._total = requests.prompt, requests.prompt + requests.completion
        self._completion, self._images = requests.completion, requests.images
        self._counted = requests.counted
        self.first_s = np.full(count, np.nan)
        self.finish_s = np.full(count, np.nan)
        self.busy_s = 0.0
        self._busy_from, self._busy_until = busy_from, busy_until

        # By cell. The time after a cell's last arrival is infinite.
        self._times = np.append(requests.times_s, np.inf)
        self._next, self._stop = requests.bounds[:-1].copy(), requests.bounds[1:]
        self._left = np.add.reduceat(requests.counted.astype(np.int64), requests.bounds[:-1])

        # By request: its end in its replica's stream of prompt tokens, of tokens altogether, of
        # tokens looked at; its number there; who follows; who ends at the same step.
        self._prompt_end = np.zeros(count, np.int64)
        self._total_end = np.zeros(count, np.int64)
        self._looked_end = np.zeros(count, np.int64)
        self._rank = np.zeros(count, np.int64)
        self._follower = np.full(count, _NONE)
        self._also_ends = np.full(count, _NONE)

        # By replica.
        self._end_s = np.full(lanes, np.inf)
        self._outstanding = np.zeros(lanes, np.int64)
        self._running = np.zeros(lanes, np.int64)
        self._seqs = np.zeros(lanes, np.int64)
        self._context = np.zeros(lanes, np.int64)
        self._step = np.zeros(lanes, np.int64)
        self._head = np.full(lanes, _NONE)
        self._unadmitted = np.full(lanes, _NONE)
        self._tail = np.full(lanes, _NONE)
        self._frontier = np.zeros(lanes, np.int64)
        self._frontier_after = np.zeros(lanes, np.int64)
        self._admitted = np.zeros(lanes, np.int64)
        self._kv_limit = np.full(lanes, limits.kv_tokens)
        days = 1 << int(requests.completion.max()).bit_length()
        self._mask = days - 1
        self._days = days
        self._calendar = np.full(lanes * days, _NONE)

    def run(self) -> None:
        """Advance until every counted request has ended."""
        replicas = self._replicas
        active = np.flatnonzero(self._left > 0)
        rounds = 0
        while active.size:
            pointer = self._next[active]
            arrival = np.where(
                pointer < self._stop[active],
                self._times[np.minimum(pointer, len(self._times) - 1)],
                np.inf,
            )
            if replicas == 1:
                lane = active
                end = self._end_s[lane]
            else:
                ends = self._end_s.reshape(-1, replicas)[active]
                which = ends.argmin(axis=1)
                lane = active * replicas + which
                end = ends[np.arange(len(active)), which]
            arrives = arrival <= end
            # Cells that are done stay in the arrays for some rounds, with nothing to come.
            ended = lane[~arrives & (end < np.inf)]
            if ended.size:
                now = self._end_s[ended]
                self._end_step(ended, now)
                self._begin_step(ended, now)
            arrives &= arrival < np.inf
            came = active[arrives]
            if came.size:
                self._arrive(came, pointer[arrives], arrival[arrives])
            rounds += 1
            # Rarely, as it costs as much as a good part of a round.
            if not rounds % 16 or not (came.size or ended.size):
                active = active[self._left[active] > 0]

    def _arrive(self, cells: Ints, requests: Ints, now: Floats) -> None:
        self._next[cells] += 1
        replicas = self._replicas
        if replicas == 1:
            lanes = cells
        else:
            load = self._outstanding.reshape(-1, replicas)[cells]
            lanes = cells * replicas + load.argmin(axis=1)
        self._outstanding[lanes] += 1
        tail = self._tail[lanes]
        has = tail >= 0
        before = tail[has]
        prompt = self._prompt[requests]
        self._prompt_end[requests] = prompt
        self._total_end[requests] = self._total[requests]
        self._looked_end[requests] = _triangle(prompt)
        late = requests[has]
        self._prompt_end[late] += self._prompt_end[before]
        self._total_end[late] += self._total_end[before]
        self._looked_end[late] += self._looked_end[before]
        self._rank[late] = self._rank[before] + 1
        self._follower[before] = late
        self._tail[lanes] = requests
        for pointer in (self._head, self._unadmitted):
            at = pointer[lanes]
            pointer[lanes] = np.where(at < 0, requests, at)
        idle = np.isinf(self._end_s[lanes])
        if idle.any():
            self._begin_step(lanes[idle], now[idle])

    def _end_step(self, lanes: Ints, now: Floats) -> None:
        step = self._step[lanes] + 1
        self._step[lanes] = step
        self._context[lanes] += self._seqs[lanes]
        place = lanes * self._days + (step & self._mask)
        request = self._calendar[place]
        ending = np.flatnonzero(request >= 0)
        self._calendar[place[ending]] = _NONE
        request = request[ending]
        while ending.size:
            lane = lanes[ending]
            self._seqs[lane] -= 1
            self._context[lane] -= self._total[request]
            self._finish(lane, request, now[ending])
            request = self._also_ends[request]
            more = request >= 0
            ending, request = ending[more], request[more]
        # Prompts that the step completed.
        frontier = self._frontier_after[lanes]
        moved = np.flatnonzero(frontier != self._frontier[lanes])
        if not moved.size:
            return
        self._frontier[lanes[moved]] = frontier[moved]
        head = self._head[lanes[moved]]
        while moved.size:
            through = self._prompt_end[head] <= frontier[moved]
            self._head[lanes[moved[~through]]] = head[~through]
            moved, head = moved[through], head[through]
            lane = lanes[moved]
            self.first_s[head] = now[moved]
            more = self._completion[head] - 1
            goes_on = more > 0
            short, long = ~goes_on, lane[goes_on]
            if short.any():
                self._finish(lane[short], head[short], now[moved[short]])
            going = head[goes_on]
            place = long * self._days + ((step[moved[goes_on]] + more[goes_on]) & self._mask)
            self._also_ends[going] = self._calendar[place]
            self._calendar[place] = going
            self._seqs[long] += 1
            self._context[long] += self._prompt[going] + 1
            head = self._follower[head]
            over = head < 0
            self._head[lane[over]] = _NONE
            moved, head = moved[~over], head[~over]

    def _finish(self, lanes: Ints, requests: Ints, now: Floats) -> None:
        self.finish_s[requests] = now
        self._outstanding[lanes] -= 1
        self._running[lanes] -= 1
        self._kv_limit[lanes] += self._total[requests]
        cells = lanes if self._replicas == 1 else lanes // self._replicas
        # Two replicas of a cell never end a step in the same round, so no cell occurs twice.
        self._left[cells] -= self._counted[requests]

    def _begin_step(self, lanes: Ints, now: Floats) -> None:
        self._admit(lanes)
        seqs = self._seqs[lanes]
        frontier = self._frontier[lanes]
        tokens = np.minimum(
            self._limits.max_num_batched_tokens - seqs, self._admitted[lanes] - frontier
        )
        np.maximum(tokens, 0, out=tokens)
        took = np.full(len(lanes), np.inf)
        decodes = np.flatnonzero((tokens == 0) & (seqs > 0))
        took[decodes] = self._table.decodes_s(
            seqs[decodes], self._context[lanes[decodes]].astype(np.float64)
        )
        fills = np.flatnonzero(tokens > 0)
        if fills.size:
            lane, chunk, begin = lanes[fills], tokens[fills], frontier[fills]
            end = begin + chunk
            head = self._head[lane]
            done = begin - self._prompt_end[head] + self._prompt[head]
            looked = self._looked(head, done)
            started = self._rank[head] + (done > 0)
            # The request that the chunk's last token belongs to.
            beyond = np.flatnonzero(self._prompt_end[head] < end)
            while beyond.size:
                follower = self._follower[head[beyond]]
                head[beyond] = follower
                beyond = beyond[self._prompt_end[follower] < end[beyond]]
            done = end - self._prompt_end[head] + self._prompt[head]
            images = (self._rank[head] + 1 - started) * self._images
            self._frontier_after[lane] = end
            took[fills] = self._table.steps_s(
                chunk,
                (self._looked(head, done) - looked).astype(np.float64),
                seqs[fills],
                self._context[lane].astype(np.float64),
                images,
            )
        end_s = now + took
        self._end_s[lanes] = end_s
        cells = lanes if self._replicas == 1 else lanes // self._replicas
        counted = np.minimum(end_s, self._busy_until[cells]) - np.maximum(
            now, self._busy_from[cells]
        )
        self.busy_s += float(counted[np.isfinite(took) & (counted > 0)].sum())

    def _admit(self, lanes: Ints) -> None:
        waiting = self._unadmitted[lanes]
        asking = np.flatnonzero(waiting >= 0)
        while asking.size:
            lane, request = lanes[asking], waiting[asking]
            fits = (self._running[lane] < self._limits.max_num_seqs) & (
                self._total_end[request] <= self._kv_limit[lane]
            )
            asking, lane, request = asking[fits], lane[fits], request[fits]
            self._running[lane] += 1
            self._admitted[lane] = self._prompt_end[request]
            follower = self._follower[request]
            self._unadmitted[lane] = follower
            waiting[asking] = follower
            asking = asking[follower >= 0]

    def _looked(self, request: Ints, done: Ints) -> Ints:
        """Tokens looked at by the stream up to `done` tokens into a request's prompt."""
        looked: Ints = (
            self._looked_end[request] - _triangle(self._prompt[request]) + _triangle(done)
        )
        return looked


def _triangle(count: Ints) -> Ints:
    """``1 + 2 + ... + count``: token number j of a prompt looks at j tokens."""
    result: Ints = count * (count + 1) // 2
    return result
