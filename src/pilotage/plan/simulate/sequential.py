"""A fleet in one piece of time, event by event: exact, and able to change as it goes."""

from __future__ import annotations

import math
from heapq import heappop, heappush, heapreplace

import numpy as np

from pilotage.plan.simulate.admission import Admission
from pilotage.plan.simulate.fleet import Fleet
from pilotage.plan.simulate.outcome import Outcome
from pilotage.plan.simulate.replica import NEVER, Log, Replica
from pilotage.plan.simulate.requests import Requests
from pilotage.plan.simulate.scaling import Controller
from pilotage.plan.simulate.step_table import StepTable
from pilotage.plan.step_model import EngineLimits


def run(
    requests: Requests,
    table: StepTable,
    limits: EngineLimits,
    fleet: Fleet,
    *,
    seed: int,
    admission: Admission | None = None,
) -> Outcome:
    """Simulate until the last request has ended."""
    log = Log(requests.prompt.tolist(), requests.completion.tolist(), requests.images)
    simulated = _Simulated(log, table, limits, fleet, seed=seed, duration_s=requests.duration_s)
    simulated.run(requests.times_s.tolist(), admission)
    return simulated.outcome(requests)


class _Simulated:
    """A fleet at work. Slots in `replicas` are never reused: a replica's number is its name."""

    def __init__(
        self,
        log: Log,
        table: StepTable,
        limits: EngineLimits,
        fleet: Fleet,
        *,
        seed: int,
        duration_s: float,
    ) -> None:
        self._log, self._table, self._limits, self._fleet = log, table, limits, fleet
        self._random = np.random.default_rng([seed, 0x5907])
        self._duration_s = duration_s
        self._replicas: list[Replica] = []
        self._began: list[float] = []
        self._ended: list[float] = []
        # Those that may be given requests; in start-up; those that only finish what they have.
        self._serving: list[int] = []
        self._starting: set[int] = set()
        self._draining: set[int] = set()
        self._homeless: list[int] = []
        self._steps: list[tuple[float, int]] = []
        self._happenings: list[tuple[float, int, str, int]] = []
        self._ticket = 0
        self._turn = 0
        self._interruptions = self._restarted = 0
        self._arrivals: list[float] = []
        self._controller = (
            Controller(fleet.autoscaling, self._replicas) if fleet.autoscaling else None
        )
        for _ in range(fleet.replicas):
            self._launch(0.0, start_s=0.0)
        if self._controller:
            self._happens(self._controller.policy.period_s, "look", -1)

    def run(self, times: list[float], admission: Admission | None) -> None:
        """Take in all arrivals, then finish what is in progress."""
        self._arrivals = times
        steps, happenings, prompt = self._steps, self._happenings, self._log.prompt
        round_robin = self._fleet.routing == "round-robin"
        replicas = self._replicas
        # Nothing but steps happens to a fixed fleet: no successor, no look at a metric.
        fixed = self._fleet.fixed
        for request, now in enumerate(times):
            if fixed:
                self._advance_to(now)
            while (steps and steps[0][0] < now) or (happenings and happenings[0][0] < now):
                self._next_event()
            serving = self._serving
            if not serving:
                self._homeless.append(request)
                continue
            if round_robin:
                chosen = serving[self._turn % len(serving)]
                self._turn += 1
            elif len(serving) == 1:
                chosen = serving[0]
            else:
                load = [replicas[number].outstanding for number in serving]
                chosen = serving[load.index(min(load))]
            replica = replicas[chosen]
            if admission is not None and not admission.admits(replica, prompt[request], now):
                continue
            before = replica.end_s
            replica.add(request, now)
            if replica.end_s != before:
                heappush(steps, (replica.end_s, chosen))
        if fixed:
            self._advance_to(NEVER)
        while steps or (self._homeless and happenings):
            self._next_event()

    def _advance_to(self, now: float) -> None:
        """End all steps of a fixed fleet that end before ``now``."""
        steps, replicas = self._steps, self._replicas
        while steps and steps[0][0] < now:
            when, number = steps[0]
            replica = replicas[number]
            if replica.end_s == when:
                replica.advance()
                if replica.end_s != NEVER:
                    heapreplace(steps, (replica.end_s, number))
                    continue
            heappop(steps)  # idle now, or a run of steps that was cut short since

    def outcome(self, requests: Requests) -> Outcome:
        """What happened; replicas that still stand are paid until the arrivals ended."""
        end = requests.duration_s
        changes: dict[float, int] = {}
        paid = 0.0
        for began, ended in zip(self._began, self._ended, strict=True):
            until = min(ended, end)
            if began >= until:
                continue
            paid += until - began
            changes[began] = changes.get(began, 0) + 1
            if until < end:
                changes[until] = changes.get(until, 0) - 1
        levels, level = [], 0
        for when in sorted(changes):
            level += changes[when]
            levels.append((when, level))
        return Outcome(
            arrival_s=requests.times_s,
            first_s=np.asarray(self._log.first_s),
            finish_s=np.asarray(self._log.finish_s),
            busy_s=sum(replica.busy_s for replica in self._replicas),
            paid_s=paid,
            replicas=tuple(levels),
            interruptions=self._interruptions,
            restarted=self._restarted,
        )

    def _next_event(self) -> None:
        steps, happenings = self._steps, self._happenings
        if steps and (not happenings or steps[0][0] <= happenings[0][0]):
            when, number = heappop(steps)
            replica = self._replicas[number]
            if replica.end_s != when:
                return  # a run of steps that was cut short since
            finished = replica.advance()
            if replica.end_s != NEVER:
                heappush(steps, (replica.end_s, number))
            if self._controller and finished:
                for request in finished:
                    self._controller.ended(when - self._arrivals[request])
            if number in self._draining and not replica.outstanding:
                self._draining.discard(number)
                self._ended[number] = when
            return
        when, _, what, number = heappop(happenings)
        if what == "ready":
            self._ready(number, when)
        elif what == "notice":
            self._notice(number, when)
        elif what == "gone":
            self._gone(number, when)
        else:
            self._look(when)

    def _happens(self, when: float, what: str, number: int) -> None:
        self._ticket += 1
        heappush(self._happenings, (when, self._ticket, what, number))

    def _launch(self, now: float, start_s: float) -> None:
        number = len(self._replicas)
        self._replicas.append(Replica(self._table, self._limits, self._log))
        self._began.append(now)
        self._ended.append(math.inf)
        if start_s:
            self._starting.add(number)
            self._happens(now + start_s, "ready", number)
        else:
            self._serving.append(number)
        spot = self._fleet.spot
        if spot and spot.interruptions_per_hour:
            life = float(self._random.exponential(3600 / spot.interruptions_per_hour))
            if now + life < self._duration_s:
                self._happens(now + life, "notice", number)

    def _ready(self, number: int, now: float) -> None:
        if number not in self._starting:
            return
        self._starting.discard(number)
        self._serving.append(number)
        homeless, self._homeless = self._homeless, []
        self._rehouse(homeless, now)

    def _rehouse(self, requests: list[int], now: float) -> None:
        """Give requests that lost their replica, or never had one, to the least loaded."""
        for request in requests:
            if not self._serving:
                self._homeless.append(request)
                continue
            chosen = min(self._serving, key=lambda number: self._replicas[number].outstanding)
            replica = self._replicas[chosen]
            before = replica.end_s
            replica.add(request, now)
            if replica.end_s != before:
                heappush(self._steps, (replica.end_s, chosen))

    def _notice(self, number: int, now: float) -> None:
        """Two minutes are left: no new requests, and a successor is started."""
        if self._ended[number] < math.inf:
            return
        self._interruptions += 1
        if number in self._serving:
            self._serving.remove(number)
            self._launch(now, self._fleet.start_s)
        elif number in self._starting:
            self._starting.discard(number)
            self._launch(now, self._fleet.start_s)
        spot = self._fleet.spot
        self._happens(now + (spot.notice_s if spot else 0.0), "gone", number)

    def _gone(self, number: int, now: float) -> None:
        if self._ended[number] < math.inf:
            return
        self._ended[number] = now
        self._draining.discard(number)
        lost = self._replicas[number].take_back()
        self._restarted += len(lost)
        self._rehouse(lost, now)

    def _look(self, now: float) -> None:
        controller = self._controller
        if controller is None:
            return
        change = controller.change(now, self._serving, len(self._starting))
        for _ in range(change):
            self._launch(now, self._fleet.start_s)
        for _ in range(-change):
            # Those in start-up go first, then the youngest.
            if self._starting:
                number = max(self._starting)
                self._starting.discard(number)
                self._ended[number] = now
                continue
            number = self._serving.pop()
            if self._replicas[number].outstanding:
                self._draining.add(number)
            else:
                self._ended[number] = now
        if now < self._duration_s:
            self._happens(now + controller.policy.period_s, "look", -1)
