"""Our own policies on a test file: fitted and set on the fit file alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage.route.evaluation.guard import Kept, keep_settings
from pilotage.route.evaluation.objective import LAMBDAS, choose
from pilotage.route.evaluation.sweep import Outcomes, Sweep, anchored

Values = NDArray[np.float64]

_SHIFTS: Final = 48
"""How many of the fit file's changes of mind stand for all that a draft may bring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What a policy knows of a file's rows, and what came of them.

    Attributes:
        outcomes: What answers cost and were worth.
        costs: What they were expected to cost, rows by models.
        before: Expected scores by prompt alone; on the fit file held out.
        after: The same once a draft is there, by drafting model.
    """

    outcomes: Outcomes
    costs: Values
    before: Values
    after: dict[int, Values]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What a cascade's decisions go by, beside what is known of the query.

    Attributes:
        shifts: Changes of the expected scores that a model's draft brought about, by model.
        unit: US dollars that λ is told by.
        extra: US dollars that the estimate before costs.
        reading: US dollars that the estimate after a draft costs.
    """

    shifts: dict[int, Values]
    unit: float
    extra: float
    reading: float


@dataclass(frozen=True, slots=True)
class _Paths:
    """What a policy did: settings by rows."""

    costs: Values
    scores: Values
    big: Values


def router(fit: Side, test: Side, *, extra: float) -> Sweep:
    """One call a query, to the model with the best expected score less cost.

    Args:
        fit: What the settings are chosen on.
        test: What they are measured on.
        extra: US dollars that the estimate costs.
    """
    unit = float(fit.outcomes.costs.mean(axis=0).max())
    tried = _routed(fit, unit, extra, LAMBDAS)
    kept = keep_settings(tried.costs, tried.scores, fit.outcomes)
    done = _routed(test, unit, extra, LAMBDAS[kept.settings])
    return _sweep("router", done, kept, test.outcomes)


def router_by_calls(fit: Side, test: Side, *, extra: float) -> Sweep:
    """The router without a query's own cost: every call costs what the model's mean does.

    It gives away what the router gains by asking dear models the short questions, and is the one
    to compare with work that counts calls.
    """
    blind = router(_blind(fit), _blind(test), extra=extra)
    return replace(blind, name="router by calls", kind="variant")


def _blind(side: Side) -> Side:
    return replace(side, costs=np.tile(side.costs.mean(axis=0), (len(side.costs), 1)))


def cascade_routing(fit: Side, test: Side, *, extra: float, reading: float) -> Sweep:
    """At each step the best of answering and of asking a model, at most two of them.

    Before anything is generated a model's draft is worth what it lets one do: the mean, over the
    changes of mind that drafts brought about in the fit file, of the best of keeping it and of
    asking another. After it the draft is kept or one other model is asked.

    Args:
        fit: What the settings are chosen on.
        test: What they are measured on.
        extra: US dollars that the estimate before costs.
        reading: US dollars that the estimate after a draft costs.
    """
    unit = float(fit.outcomes.costs.mean(axis=0).max())
    shifts = {model: _spread(after - fit.before) for model, after in fit.after.items()}
    terms = _Terms(shifts=shifts, unit=unit, extra=extra, reading=reading)
    tried = _cascaded(fit, terms, LAMBDAS)
    kept = keep_settings(tried.costs, tried.scores, fit.outcomes)
    done = _cascaded(test, terms, LAMBDAS[kept.settings])
    return _sweep("cascade routing", done, kept, test.outcomes)


def _routed(side: Side, unit: float, extra: float, lambdas: Values) -> _Paths:
    rows = np.arange(len(side.before))
    choices = choose(side.before, side.costs, unit, lambdas) if len(lambdas) else _none(side)
    return _Paths(
        side.outcomes.costs[rows, choices] + extra,
        side.outcomes.scores[rows, choices],
        (choices == side.outcomes.best).astype(np.float64),
    )


def _cascaded(side: Side, terms: _Terms, lambdas: Values) -> _Paths:
    if not len(lambdas):
        return _routed(side, terms.unit, terms.extra, lambdas)
    each = [_step(side, terms, float(weight)) for weight in lambdas]
    return _Paths(
        np.stack([path.costs for path in each]),
        np.stack([path.scores for path in each]),
        np.stack([path.big for path in each]),
    )


def _step(side: Side, terms: _Terms, weight: float) -> _Paths:
    """One setting: costs, scores and calls of the best model, by row."""
    rows, outcomes = np.arange(len(side.before)), side.outcomes
    priced = weight * side.costs / terms.unit
    direct = side.before - priced
    first = direct.argmax(axis=1)
    drafts = np.full(len(rows), -1)
    worth = direct.max(axis=1)
    for model, shift in terms.shifts.items():
        value = (
            _draft_worth(side.before, priced, shift, model) - weight * terms.reading / terms.unit
        )
        better = value > worth + 1e-12
        drafts[better], worth[better] = model, value[better]
    costs = outcomes.costs[rows, first] + terms.extra
    scores = outcomes.scores[rows, first]
    big = (first == outcomes.best).astype(np.float64)
    for model, after in side.after.items():
        drafted = np.flatnonzero(drafts == model)
        options = after[drafted] - priced[drafted]
        options[:, model] = after[drafted, model]  # paid for already
        final = options.argmax(axis=1)
        again = np.where(final == model, 0.0, outcomes.costs[drafted, final])
        costs[drafted] = outcomes.costs[drafted, model] + again + terms.extra + terms.reading
        scores[drafted] = outcomes.scores[drafted, final]
        big[drafted] = (final == outcomes.best) | (model == outcomes.best)
    return _Paths(costs, scores, big)


def _draft_worth(before: Values, priced: Values, shifts: Values, model: int) -> Values:
    """Expected score less cost of drafting with a model and then doing what is best."""
    total = np.zeros(len(before))
    for shift in shifts:
        options = before + shift - priced
        options[:, model] = before[:, model] + shift[model]
        total += options.max(axis=1)
    worth: Values = total / len(shifts) - priced[:, model]
    return worth


def _spread(shifts: Values) -> Values:
    """Some of the rows, evenly by how much the draft itself gained, so that they stand for all."""
    order = np.argsort(shifts.sum(axis=1), kind="stable")
    places = np.linspace(0, len(order) - 1, min(_SHIFTS, len(order))).round().astype(int)
    spread: Values = shifts[order[places]]
    return spread


def _sweep(name: str, done: _Paths, kept: Kept, outcomes: Outcomes) -> Sweep:
    """The kept settings and single models; a single model in the mix needs no estimate."""
    alone = [int(model) for model in kept.singles if model != outcomes.cheapest]
    whole = np.array([[float(model == outcomes.best)] for model in alone]).reshape(-1, 1)
    sweep = Sweep(
        name=name,
        kind="policy",
        costs=np.concatenate([done.costs, outcomes.costs[:, alone].T]),
        scores=np.concatenate([done.scores, outcomes.scores[:, alone].T]),
        big=np.concatenate([done.big, np.repeat(whole, len(outcomes.costs), axis=1)]),
        hindsight=False,
    )
    return anchored(sweep, outcomes)


def _none(side: Side) -> NDArray[np.int64]:
    return np.empty((0, len(side.before)), np.int64)
