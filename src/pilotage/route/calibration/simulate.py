"""What a policy would have got: the router's decisions replayed on rows whose answers are known.

The three policies are stated once here, for many rows at once, and by `pilotage.route.policies`
for one live request; they must say the same. All of them know the value of money, λ:
expected quality that a US dollar is worth.

- ``router``: the tier of the greatest quality - λ·cost, both expected before generation.
- ``cascade``: begins there; an answer whose acceptance reaches its tier's threshold is taken, else
  the next tier up is asked. Tiers without a threshold, whose answers would never be taken, are
  passed over.
- ``cascade_routing``: begins there; then asks the tier that promises the greatest quality - λ·cost
  if that is more than the acceptance of the best answer so far, and takes that answer otherwise.

The last tier's answer is always taken. Where the generations are used up, the answer of the highest
acceptance is; one that was not verified counts with what was expected of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotage.route.calibration.logistic import Logistic
from pilotage.route.calibration.table import Array, Table

_LOGIT_EDGE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the policies share.

    Attributes:
        thresholds: Least acceptance, a tier; None where no answer of the tier is taken.
        after: How a tier's acceptance changes what is expected of another:
            ``after[answered][other]``, by their places.
        generations: Most answers a request.
    """

    thresholds: Sequence[float | None]
    after: Mapping[int, Mapping[int, Logistic]]
    generations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a policy got, shape (n,) each.

    Attributes:
        quality: Of the answer that was taken.
        usd: Of everything that was asked.
        generations: Answers generated.
    """

    quality: Array
    usd: Array
    generations: Array

    @property
    def point(self) -> tuple[float, float]:
        """Mean quality, and mean US dollars."""
        return float(self.quality.mean()), float(self.usd.mean())


def first_choice(
    table: Table, usd_weight: float, allowed: NDArray[np.bool_] | None = None
) -> NDArray[np.intp]:
    """The tier to begin with, a row: of several that are as good the first in the list."""
    gain = table.prior - usd_weight * table.expected_usd
    if allowed is not None:
        gain[:, ~allowed] = -np.inf
    found: NDArray[np.intp] = np.argmax(gain, axis=1)
    return found


def replay_static(table: Table, tier: int) -> Replay:
    """One tier for everything."""
    return Replay(
        quality=table.quality[:, tier],
        usd=table.usd[:, tier],
        generations=np.ones(len(table.quality)),
    )


def replay(policy: str, table: Table, rules: Rules, usd_weight: float) -> Replay:
    """What ``router``, ``cascade`` or ``cascade_routing`` gets."""
    rows, tiers = table.quality.shape
    every = np.arange(rows)
    least = np.array([2.0 if one is None else one for one in rules.thresholds])
    open_tiers = least <= 1
    open_tiers[-1] = True
    at = first_choice(table, usd_weight, open_tiers if policy == "cascade" else None)
    upwards = _next_open(open_tiers)
    usd = table.usd[every, at].copy()
    generations = np.ones(rows)
    if policy == "router":
        return Replay(quality=table.quality[every, at], usd=usd, generations=generations)
    expected = table.prior.copy()
    asked = np.zeros((rows, tiers), bool)
    best = np.full(rows, -1.0)
    quality = np.zeros(rows)
    active = every
    for step in range(rules.generations):
        # Every active row has just been answered by its tier in ``at``.
        here = at[active]
        asked[active, here] = True
        final = (here == tiers - 1) | (step == rules.generations - 1)
        seen = np.where(final, expected[active, here], table.acceptance[active, here])
        usd[active] += np.where(final, 0.0, table.judge_usd[active, here])
        better = seen > best[active]
        quality[active[better]] = table.quality[active[better], here[better]]
        best[active[better]] = seen[better]
        active, here, seen = active[~final], here[~final], seen[~final]
        if not len(active):
            break
        _learn(expected, active, here, seen, rules.after)
        if policy == "cascade":
            go = seen < least[here]
            then = upwards[here]
        else:
            gain = expected[active] - usd_weight * table.expected_usd[active]
            gain[asked[active]] = -np.inf
            then = gain.argmax(axis=1)
            go = gain[np.arange(len(active)), then] > best[active]
        active, then = active[go], then[go]
        at[active] = then
        usd[active] += table.usd[active, then]
        generations[active] += 1
    return Replay(quality=quality, usd=usd, generations=generations)


def _next_open(allowed: NDArray[np.bool_]) -> NDArray[np.intp]:
    """By tier, the next one up that may be asked; the last one's is itself."""
    last = len(allowed) - 1
    return np.array(
        [
            next((other for other in range(tier + 1, last) if allowed[other]), last)
            for tier in range(last + 1)
        ]
    )


def _learn(
    expected: Array,
    active: NDArray[np.intp],
    here: NDArray[np.intp],
    seen: Array,
    after: Mapping[int, Mapping[int, Logistic]],
) -> None:
    """Bring what is expected of the tiers in line with the acceptance that was seen."""
    for tier in np.unique(here):
        rows, found = active[here == tier], seen[here == tier]
        for other, model in after.get(int(tier), {}).items():
            expected[rows, other] = probabilities(
                model, np.column_stack([logits(expected[rows, other]), logits(found)])
            )
        expected[rows, tier] = found


def logits(shares: Array) -> Array:
    """`log_odds` of many."""
    kept = np.clip(shares, _LOGIT_EDGE, 1 - _LOGIT_EDGE)
    return np.log(kept / (1 - kept))


def probabilities(model: Logistic, values: Array) -> Array:
    """`Logistic.probability` of many, a row each; NaN where a value is not known."""
    from scipy.special import expit  # noqa: PLC0415

    scaled = (values - np.array(model.mean)) / np.array(model.scale)
    total = model.bias + np.where(np.isfinite(scaled), scaled, 0.0) @ np.array(model.weights)
    found: Array = expit(total)
    return found
