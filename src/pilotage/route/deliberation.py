"""One request from the first tier that is asked to the answer that is chosen."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from pilotage.route.attempt import Role
from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.tier import Tier
from pilotage.route.calibration.calibration import Calibration
from pilotage.route.call import Call
from pilotage.route.draft import Draft
from pilotage.route.estimate import Estimate
from pilotage.route.policies import (
    Ask,
    GiveUp,
    Policy,
    State,
    Tried,
    with_tried,
    would_take,
)
from pilotage.route.verifiers import Finding, Panel

NOTHING_GENERATED: Final = frozenset(
    {Fault.UNREACHABLE, Fault.RATE_LIMITED, Fault.OVERLOADED, Fault.REFUSED, Fault.DENIED}
)
"""Faults that do not count among the generations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a deliberation works with.

    Attributes:
        tiers: By name, from the cheapest to the best.
        policy: Decides.
        panel: Verifies.
        calibration: Revises what is expected of the tiers after an answer.
        logprob_tiers: Those whose answers are verified by log-probabilities.
        hold: Tokens of a streamed draft to decide on; None for the whole.
    """

    tiers: Mapping[str, Tier]
    policy: Policy
    panel: Panel
    calibration: Calibration | None
    logprob_tiers: frozenset[str]
    hold: int | None


@dataclass(slots=True)
class _Asked:
    """A tier that was asked: its draft, why, and what the verifiers found."""

    draft: Draft
    why: str
    finding: Finding | None = None
    rejected: str = "another answer is worth more"


class Deliberation:
    """Asks tiers as the policy says, until one of their answers is chosen.

    Args:
        call: The request.
        means: What to work with.
        state: Where it begins: nothing tried.
        estimate: What was expected, if anybody estimated it.

    Attributes:
        chosen: The draft to answer with, after `run`.
        decision: Why it is that one.
        escalations: How many other tiers were asked, in vain.
        predicted: The quality that was expected when it was taken; None if nobody knew.
    """

    def __init__(self, call: Call, means: Means, state: State, estimate: Estimate | None) -> None:
        self._call = call
        self._means = means
        self._state = state
        self._estimate = estimate
        self._asked: dict[str, _Asked] = {}
        self._errors: list[BackendError] = []
        self._verifying = Decimal(0)
        self.chosen: Draft
        self.decision = ""
        self.escalations = 0
        self.predicted: float | None = None

    @property
    def cost(self) -> Decimal:
        """US dollars spent so far."""
        estimating = self._estimate.cost if self._estimate is not None else Decimal(0)
        drafts = sum((one.draft.cost for one in self._asked.values()), Decimal(0))
        return estimating + drafts + self._verifying

    @property
    def _time_left_s(self) -> float:
        return self._call.deadline - time.monotonic()

    async def run(self) -> None:
        """Find an answer.

        Raises:
            BackendError: There is none.
        """
        try:
            await self._follow()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Cancel whatever is not over."""
        for one in self._asked.values():
            await one.draft.stream.aclose()

    async def _follow(self) -> None:
        """Do what the policy says, to the end."""
        while isinstance(action := self._means.policy.decide(self._state), Ask):
            await self._ask(action.tier, action.why)
        if isinstance(action, GiveUp):
            raise self._error()
        await self._take(action.tier, action.why)

    async def _ask(self, tier: str, why: str) -> None:
        means, state = self._means, self._state
        certain = would_take(means.policy, state, tier)
        call = self._call
        if not certain and tier in means.logprob_tiers:
            call = call.with_body(logprobs=True)
        if self._estimate is not None and not self._asked:
            why = f"{self._estimate.note}: {why}"
        stream = means.tiers[tier].answer(
            call, role=Role.ANSWER if certain else Role.DRAFT, decision=why, deferred=True
        )
        draft = Draft(tier, stream, keep_logprobs=bool(self._call.body.get("logprobs")))
        asked = self._asked[tier] = _Asked(draft, why)
        try:
            await draft.hold(0 if certain else means.hold)
        except BackendError as error:
            self._errors.append(error)
            await stream.aclose()
            generated = error.fault not in NOTHING_GENERATED
            self._state = with_tried(
                state,
                Tried(tier=tier, failed=True),
                generated=generated,
                time_left_s=self._time_left_s,
            )
            return
        asked.finding = Finding(reason=why) if certain else await self._examine(draft)
        self._learn(tier, asked.finding)

    async def _examine(self, draft: Draft) -> Finding:
        means, tier = self._means, draft.tier
        prior = self._state.quality.get(tier)
        if not draft.over:
            return await means.panel.examine_prefix(self._call, draft.answer, tier, prior=prior)
        after = with_tried(self._state, Tried(tier=tier))
        found = await means.panel.examine(
            self._call,
            draft.answer,
            tier,
            prior=prior,
            bar=means.policy.bar(after, tier),
            # With nothing left to ask, finding out more would only cost more.
            costly=bool(after.open),
        )
        self._verifying += found.cost
        return found

    def _learn(self, tier: str, found: Finding) -> None:
        tried = Tried(tier=tier, score=found.score)
        state = with_tried(self._state, tried, time_left_s=self._time_left_s)
        calibration = self._means.calibration
        if calibration is not None and found.score is not None and state.quality:
            revised = calibration.after(tier, found.score, state.quality)
            state = replace(state, quality=revised)
        asked = self._asked[tier]
        if found.score is not None:
            bar = self._means.policy.bar(state, tier)
            asked.rejected = (
                f"{found.reason} < {bar:.2f}" if 0 < found.score < bar else found.reason
            )
        self._state = state

    async def _take(self, tier: str, why: str) -> None:
        means, last = self._means, list(self._asked)[-1]
        for name, one in self._asked.items():
            if name == tier:
                continue
            said = f"{'not taken' if name == last else 'escalated'}: {one.rejected}"
            one.draft.stream.settle(
                role=Role.DRAFT, decision=said[:200], scores=self._scores(one, name)
            )
            await one.draft.stream.aclose()
        taken = self._asked[tier]
        finding = taken.finding or Finding()
        self.chosen = taken.draft
        self.escalations = len(self._asked) - 1
        self.predicted = finding.score
        if finding.score is None and means.calibration is not None and means.calibration.classifier:
            # Fitted too. Other estimators say where to begin, and not how good it will be.
            self.predicted = self._state.quality.get(tier)
        self.decision = taken.why if why in taken.why else f"{taken.why}; {why}"
        taken.draft.stream.settle(
            role=Role.ANSWER, decision=self.decision[:200], scores=self._scores(taken, tier)
        )

    def _scores(self, asked: _Asked, tier: str) -> dict[str, float]:
        scores = dict(asked.finding.scores) if asked.finding is not None else {}
        if self._estimate is not None and tier in self._estimate.quality:
            scores["estimate"] = self._estimate.quality[tier]
        return scores

    def _error(self) -> BackendError:
        """The error that says most: one that another time may not happen, before one that will."""
        if not self._errors:
            return BackendError(Fault.TIMEOUT, "the request's time was over before it was asked")
        passing = [one for one in self._errors if one.fault is not Fault.REFUSED]
        return passing[-1] if passing else self._errors[0]
