"""What a policy would have got: the router's decisions replayed on rows whose answers are known.

The three policies are stated once here, for many rows at once, and by `pilotage.route.policies`
for one live request; the two say the same, which a test holds them to. All of them know the value
of money, λ: expected quality that a US dollar is worth.

- ``router``: the tier of the greatest quality - λ·cost, both expected before generation.
- ``cascade``: begins there; an answer whose acceptance reaches its tier's threshold is taken, else
  the next tier up is asked. Tiers without a threshold, whose answers would never be taken, are
  passed over.
- ``cascade_routing``: begins there; then asks the tier that promises the greatest quality - λ·cost
  if that is more than the best answer so far is worth, and takes that answer otherwise.

The last tier's answer is always taken. Where the generations are used up, the answer that is worth
most is. A judge is asked only where its word can change something: not of an answer that is taken
anyway, nor of one of which log-probabilities and text are clear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pilotage.route.calibration.logistic import Logistic
from pilotage.route.calibration.table import Array, Places, Table
from pilotage.route.verifiers.panel import AMBIGUOUS

_LOGIT_EDGE: Final = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the policies share. Tiers are named by their places.

    Attributes:
        thresholds: Least acceptance, a tier; None where no answer of the tier is taken.
        accept: Acceptance from `ACCEPT_INPUTS`, of tiers that have signals.
        after: How a tier's acceptance changes what is expected of another: ``[answered][other]``.
        generations: Most answers a request.
    """

    thresholds: Sequence[float | None]
    accept: Mapping[int, Logistic]
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


def replay_static(table: Table, tier: int) -> Replay:
    """One tier for everything."""
    return Replay(
        quality=table.quality[:, tier],
        usd=table.usd[:, tier],
        generations=np.ones(len(table.quality)),
    )


def replay(policy: str, table: Table, rules: Rules, usd_weight: float) -> Replay:
    """What ``router``, ``cascade`` or ``cascade_routing`` gets."""
    run = _Run(policy, table, rules, usd_weight)
    at = run.begin()
    if policy != "router":
        active = np.arange(len(at))
        for step in range(rules.generations):
            active, then = run.examine(active, at[active], step)
            if not len(active):
                break
            at[active] = then
            run.ask(active, then)
    return Replay(
        quality=table.quality[np.arange(len(at)), run.taken],
        usd=run.usd,
        generations=run.generations,
    )


class _Run:
    """One policy on its way through all rows at once.

    Attributes:
        taken: The tier whose answer a row has, so far.
        usd: Spent, so far.
        generations: Answers, so far.
    """

    def __init__(self, policy: str, table: Table, rules: Rules, usd_weight: float) -> None:
        rows, self._tiers = table.quality.shape
        self._policy, self._table, self._rules = policy, table, rules
        self._cost = usd_weight * table.expected_usd
        self._least = np.array([2.0 if one is None else one for one in rules.thresholds])
        self._least[-1] = 0.0
        self._open = self._least <= 1
        self._expected = table.prior.copy()
        self._score = np.full(table.quality.shape, np.nan)
        self._asked = np.zeros(table.quality.shape, bool)
        self.taken = np.zeros(rows, np.intp)
        self.usd, self.generations = np.zeros(rows), np.zeros(rows)

    def begin(self) -> Places:
        """Ask the tier that is expected to be worth most: of several the first in the list."""
        gain = self._expected - self._cost
        if self._policy == "cascade":
            gain[:, ~self._open] = -np.inf
        at: Places = np.argmax(gain, axis=1)
        self.ask(np.arange(len(at)), at)
        self.taken[:] = at
        return at

    def ask(self, rows: Places, tiers: Places) -> None:
        """Generate answers."""
        self._asked[rows, tiers] = True
        self.usd[rows] += self._table.usd[rows, tiers]
        self.generations[rows] += 1

    def examine(self, rows: Places, here: Places, step: int) -> tuple[Places, Places]:
        """Take the answers that were just given, or say which rows go on, and to which tiers."""
        certain = here == self._tiers - 1
        self.taken[rows[certain]] = here[certain]
        rows, here = rows[~certain], here[~certain]
        over = step == self._rules.generations - 1
        if over and step == 0:
            return rows[:0], here[:0]
        judging = not over
        bar = self._least[here] if self._policy == "cascade" else self._bar(rows)
        if self._policy == "cascade_routing" and step == 0:
            # Nothing promises anything: no verdict could send it on.
            open_rows = bar > 0
            rows, here, bar = rows[open_rows], here[open_rows], bar[open_rows]
        seen = self._verify(rows, here, bar, judging=judging)
        scored = np.isfinite(seen)
        self._learn(rows, here, seen)
        kept, worth = self._best(rows)
        self.taken[rows] = kept
        if self._policy == "cascade":
            content = np.where(scored, seen >= bar, judging)
            self.taken[rows[content]] = here[content]
            go, then = ~content, self._upwards[here]
        else:
            gain = np.where(self._asked[rows], -np.inf, self._expected[rows] - self._cost[rows])
            then = gain.argmax(axis=1)
            go = gain[np.arange(len(rows)), then] > worth
        return (rows[:0], then[:0]) if over else (rows[go], then[go])

    def _bar(self, rows: Places) -> Array:
        """What the most promising tier that was not asked promises."""
        gain = np.where(self._asked[rows], -np.inf, self._expected[rows] - self._cost[rows])
        found: Array = np.clip(gain.max(axis=1, initial=-np.inf), 0.0, 1.0)
        return found

    def _verify(self, rows: Places, here: Places, bar: Array, *, judging: bool) -> Array:
        """Acceptance of answers; NaN where nothing was fitted for their tiers."""
        seen = np.full(len(rows), np.nan)
        for tier, model in self._rules.accept.items():
            mine = here == tier
            these = rows[mine]
            prior = logits(self._expected[these, tier])
            sure, scored = self._table.sure[these, tier], self._table.scored[these, tier]
            judged = self._table.judged[these, tier]
            nothing = np.full(len(these), np.nan)
            free = probabilities(model, np.column_stack([prior, sure, scored, nothing]))
            heard = np.isfinite(sure) | np.isfinite(scored)
            clear = heard & (np.abs(logits(free) - logits(bar[mine])) > AMBIGUOUS)
            asked = np.isfinite(judged) & ~clear & judging
            full = probabilities(model, np.column_stack([prior, sure, scored, judged]))
            seen[mine] = np.where(asked, full, free)
            self.usd[these] += np.where(asked, self._table.judge_usd[these, tier], 0.0)
        return seen

    def _learn(self, rows: Places, here: Places, seen: Array) -> None:
        """Bring what is expected of the tiers in line with the acceptance that was seen."""
        for tier in self._rules.accept:
            mine = (here == tier) & np.isfinite(seen)
            these, found = rows[mine], seen[mine]
            for other, model in self._rules.after.get(tier, {}).items():
                inputs = [logits(self._expected[these, other]), logits(found)]
                self._expected[these, other] = probabilities(model, np.column_stack(inputs))
            self._expected[these, tier] = self._score[these, tier] = found

    def _best(self, rows: Places) -> tuple[Places, Array]:
        """The answer that is worth most, and its worth; unscored, what was expected of it."""
        worth = np.where(np.isnan(self._score[rows]), self._expected[rows], self._score[rows])
        worth = np.where(self._asked[rows], worth, -np.inf)
        kept: Places = worth.argmax(axis=1)
        return kept, worth[np.arange(len(rows)), kept]

    @property
    def _upwards(self) -> Places:
        """By tier, the next one up that may be asked; the last one's is itself."""
        last = self._tiers - 1
        return np.array(
            [
                next((other for other in range(tier + 1, last) if self._open[other]), last)
                for tier in range(self._tiers)
            ]
        )


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
