"""What a report says. All amounts are US dollars and exact, but for the bounds of an interval."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import msgspec


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts of one tier, key or role.

    Attributes:
        name: Of the tier, key or role; "-" for requests without a key.
        attempts: All of them.
        answered: Those whose answer went whole to a client.
        errors: Those that failed.
        cancelled: Those that were broken off.
        prompt_tokens: Of all attempts.
        completion_tokens: Likewise.
        cost: Likewise.
    """

    name: str
    attempts: int
    answered: int
    errors: int
    cancelled: int
    prompt_tokens: int
    completion_tokens: int
    cost: Decimal


class DayLine(msgspec.Struct, frozen=True, kw_only=True):
    """One UTC day.

    Attributes:
        day: The day.
        requests: Requests that began on it.
        escalated: Of these, the ones with a draft that was not good enough.
        cost: Of all attempts.
        by_tier: The same by tier.
    """

    day: date
    requests: int
    escalated: int
    cost: Decimal
    by_tier: dict[str, Decimal]


class Savings(msgspec.Struct, frozen=True, kw_only=True):
    """What was paid against what the big tier alone would have cost, for answered requests.

    The big tier's cost is measured, never reckoned from another tier's tokens: for requests that
    it answered it is the answer's own cost; for the others it is the mean cost of the answers that
    it gave, in the shadow, to a random share of them. Only that mean is uncertain; the interval
    comes from resampling these (percentile bootstrap, Efron 1979).

    Attributes:
        tiers: The tiers that shadowed: the big one.
        requests: Answered requests.
        sample: Of those that other tiers answered, how many were shadowed.
        routed_cost: What the requests cost: answers, drafts, classifiers, judges and samples.
        big_cost: What they would have cost.
        saved: The difference; below 0 if routing cost more.
        saved_low: Its 95 % interval; None with fewer than two shadowed requests, unless the big
            tier answered everything.
        saved_high: Likewise.
        share: Of ``big_cost``; None if that is nothing.
        share_low: Likewise.
        share_high: Likewise.
    """

    tiers: list[str]
    requests: int
    sample: int
    routed_cost: Decimal
    big_cost: Decimal
    saved: Decimal
    saved_low: Decimal | None
    saved_high: Decimal | None
    share: float | None
    share_low: float | None
    share_high: float | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger between two moments.

    Attributes:
        ledger: Which one, without user and password.
        since: From when on.
        until: Till when.
        folded_days: Days of which only sums are left; they count as a whole, and can no longer
            tell what was saved.
        requests: Requests that were answered or drafted for.
        escalated: Of these, the ones with a draft that was not good enough.
        escalation_rate: Their share; None without requests.
        attempts: All rows.
        cost: All of it.
        overhead_cost: Of that, classifiers, judges and second samples.
        drafts_cost: Drafts that nobody got.
        cancelled_drafts_cost: Of these, the ones broken off on the way.
        measuring_cost: Shadows and audits: what it costs to know.
        by_tier: By tier, the dearest first.
        by_key: By key, the dearest first.
        by_role: By what attempts were for, the dearest first.
        by_day: Every day from the first one with an attempt on.
        savings: None if they cannot be told.
        savings_note: Why not, or what to keep in mind; empty if nothing.
    """

    ledger: str
    since: datetime
    until: datetime
    folded_days: int
    requests: int
    escalated: int
    escalation_rate: float | None
    attempts: int
    cost: Decimal
    overhead_cost: Decimal
    drafts_cost: Decimal
    cancelled_drafts_cost: Decimal
    measuring_cost: Decimal
    by_tier: list[Line]
    by_key: list[Line]
    by_role: list[Line]
    by_day: list[DayLine]
    savings: Savings | None
    savings_note: str
