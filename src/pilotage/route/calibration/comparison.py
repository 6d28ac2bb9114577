"""How a policy did on rows that nothing was fitted on."""

from __future__ import annotations

import msgspec


class Interval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A figure with its confidence interval."""

    value: float
    low: float
    high: float


class Single(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tier for every request, on the test rows.

    Attributes:
        quality: Mean, 0 to 1.
        usd: Mean US dollars a request.
    """

    quality: float
    usd: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy on the test rows.

    Attributes:
        rows: Requests it was measured on.
        quality: Mean, 0 to 1.
        usd: Mean US dollars a request; drafts that were thrown away and judgements included.
        generations: Mean answers generated a request.
        best_single: The single model of the highest quality.
        best_quality: Its mean quality.
        best_usd: Its mean cost.
        mix_quality: Quality of the linear mix at the policy's cost.
        over_mix: Quality above that mix.
        over_best: Quality above the best single model's; below 0 where the policy saves instead.
        saved: Share of the cost saved against the cheapest mix of the same quality (or of the best
            single model's, where the policy is better than that); below 0 where it costs more.
        confidence: Of the intervals, 0 to 1.
        beats: Whether it is above the mix beyond noise: the low end of ``over_mix`` is above 0.
    """

    rows: int
    quality: float
    usd: float
    generations: float
    best_single: str
    best_quality: float
    best_usd: float
    mix_quality: float
    over_mix: Interval
    over_best: Interval
    saved: Interval
    confidence: float
    beats: bool
