"""Whether a run shows one promise of the SLO kept, broken, or neither."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from pilotage.prove.analysis.promise import Promise
from pilotage.prove.analysis.sample import Sample
from pilotage.prove.analysis.statistics import first, share_interval
from pilotage.prove.result import Estimate, Finding, Objective
from pilotage.prove.trial import Trial
from pilotage.units import format_duration

_MOST_REQUESTS: Final = 10_000_000
_DIGITS: Final = 3
_QUANTITY: Final = re.compile(r"([0-9.e+-]+)([a-z]+)")
_MISSING: Final = {
    "ttft": "no answer was streamed, so none has a first token; ask for streams",
    "tpot": "no streamed answer has a second token; ask for streams of several tokens",
    "e2e": "there is no answer",
}


def judge(promise: Promise, trial: Trial, confidence: float) -> tuple[Objective, str]:
    """The finding about ``promise``, and the sentence that tells it.

    "p99 ≤ T" says that at most 1 % of the requests are over T or fail. It is met when the upper
    end of the confidence interval of that share is at most 1 %, missed when the lower end is more,
    and else there is not enough evidence. As it takes one end of a two-sided interval, each of the
    two findings is wrong in at most (1 - confidence)/2 of all runs.
    """
    sample = promise.sample(trial)
    allowed = 1 - promise.quantile
    judged = len(sample) > 0 and promise.can_judge(trial.measured)
    effect = sample.effect(promise.quantile, promise.target)
    late, total = (sample.above(promise.target), len(sample)) if judged else (0, 0)
    finding: Finding = "not_enough_evidence"
    measured, more = Estimate(value=None), None
    if judged:
        measured = sample.estimate(promise.quantile, confidence, effect)
        low, high = share_interval(late, total, confidence, effect)
        if high <= allowed:
            finding = "met"
        elif low > allowed:
            finding = "missed"
        else:
            more = more_requests(late, total, allowed, confidence, effect)
    objective = Objective(
        metric=promise.metric,
        quantile=promise.quantile,
        target=promise.target,
        measured=measured,
        finding=finding,
        late=late,
        total=total,
        more_requests=more,
    )
    return objective, _sentence(objective, sample, effect, confidence)


def more_requests(
    late: int, total: int, allowed: float, confidence: float, effect: float
) -> int | None:
    """How many further requests would decide it, if the same share of them were late.

    Args:
        late: Requests over the target or failed.
        total: Of how many.
        allowed: Share that may be late.
        confidence: Of the finding.
        effect: Design effect, which is taken to stay as it is.

    Returns:
        The smallest number; None if it is beyond 10 million.
    """

    def decides(more: int) -> bool:
        count = total + more
        low, high = share_interval(late / total * count, count, confidence, effect)
        return high <= allowed or low > allowed

    more = first(decides, _MOST_REQUESTS)
    return more if more <= _MOST_REQUESTS else None


def _sentence(objective: Objective, sample: Sample, effect: float, confidence: float) -> str:
    percentile = f"p{objective.quantile * 100:g}"
    promise = f"{objective.metric} {percentile} ≤ {format_duration(objective.target)}"
    if objective.total == 0:
        return f"{promise}: not enough evidence, {_MISSING[objective.metric]}"
    failed = int(np.count_nonzero(np.isinf(sample.values)))
    found = [
        f"{percentile} {_time(objective.measured.value)}",
        _interval(objective.measured, confidence),
        f"{objective.late:,} of {objective.total:,} late",
    ]
    if failed:
        found.append(f"{failed:,} of them failed")
    finding = objective.finding
    if finding != "not_enough_evidence":
        return f"{promise}: {finding} ({', '.join(found)})"
    if effect >= 1.5:
        worth = max(1, round(objective.total / effect))
        found.append(f"which queue together and are worth about {worth:,} independent ones")
    if objective.more_requests is None:
        advice = "the late share is too near the limit for any affordable number of requests"
    else:
        advice = f"run about {_rounded_up(objective.more_requests):,} more requests"
    return f"{promise}: not enough evidence, {advice} ({', '.join(found)})"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "without end, for too many failed"
    return format_duration(max(0.0, seconds), digits=_DIGITS)


def _interval(estimate: Estimate, confidence: float) -> str:
    """The interval in words, with its unit but once where both ends have the same."""
    name = f"{confidence * 100:g} % interval"
    if estimate.low is None and estimate.high is None:
        return f"{name} open at both ends"
    if estimate.low is None:
        return f"{name} up to {_time(estimate.high)}"
    if estimate.high is None:
        return f"{name} from {_time(estimate.low)} up"
    low, high = _time(estimate.low), _time(estimate.high)
    parts = [_QUANTITY.fullmatch(text) for text in (low, high)]
    if parts[0] and parts[1] and parts[0][2] == parts[1][2]:
        low = parts[0][1]
    return f"{name} {low}–{high}"  # noqa: RUF001  an en dash between numbers


def _rounded_up(count: int) -> int:
    """``count`` to two significant digits, never less: "about 1,200"."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step
