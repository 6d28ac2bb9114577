"""Promises about latencies that are not ours to predict.

What a provider runs has no roofline we could compute: its latency is what the user gives
(``--assume``) or what `pilotage prove` measures. Without such figures an option counts as feasible
only where nothing is promised.
"""

from __future__ import annotations

from pilotage.plan.demand import Demand
from pilotage.plan.option import Obstacle
from pilotage.plan.strategies.assumptions import BedrockAssumptions
from pilotage.units import format_duration


def smallest_promise(demand: Demand) -> float | None:
    """The strictest promise that a start must keep; None without any."""
    promises = [one for one in (demand.ttft_p99, demand.e2e_p99) if one is not None]
    return min(promises, default=None)


def promised_but_unknown(demand: Demand, title: str, why: str) -> list[Obstacle]:
    """An obstacle a promise, when nothing predicts the latency."""
    promises = {
        "ttft_p99": demand.ttft_p99,
        "tpot_p99": demand.tpot_p99,
        "e2e_p99": demand.e2e_p99,
    }
    return [
        _unknown(name, promised, title, why)
        for name, promised in promises.items()
        if promised is not None
    ]


def bedrock_latency(demand: Demand, given: BedrockAssumptions, title: str) -> list[Obstacle]:
    """Promises against what the user gave; an unknown figure under a promise is an obstacle.

    An end-to-end latency that is not given is put together from the first token and the others:
    ``ttft_p99 + (completion p99 - 1) * tpot_p99``, an upper bound, as not all is slow at once.
    """
    e2e = given.e2e_p99
    if e2e is None and given.ttft_p99 is not None and given.tpot_p99 is not None:
        e2e = given.ttft_p99 + max(0.0, demand.completion.p99 - 1) * given.tpot_p99
    pairs = (
        ("ttft_p99", demand.ttft_p99, given.ttft_p99),
        ("tpot_p99", demand.tpot_p99, given.tpot_p99),
        ("e2e_p99", demand.e2e_p99, e2e),
    )
    found = []
    for name, promised, assumed in pairs:
        if promised is None:
            continue
        if assumed is None:
            found.append(_unknown(name, promised, title, "it depends on its other customers"))
        elif assumed > promised:
            found.append(
                Obstacle(
                    limit=name,
                    message=f"{name} is {_shown(assumed)} by your own figures; "
                    f"{_shown(promised)} is promised",
                    relax=f"Promise {_shown(assumed)}",
                    shortfall=assumed / promised,
                )
            )
    return found


def _unknown(name: str, promised: float, title: str, why: str) -> Obstacle:
    measured = "bedrock." + name
    return Obstacle(
        limit="latency unknown",
        message=f"{name} of {_shown(promised)} is promised, and the latency of {title} is not "
        f"known: {why}",
        relax="Measure it with pilotage prove"
        + (f" and pass --assume {measured}=SECONDS" if "edrock" in title else "")
        + ", or promise nothing",
    )


def _shown(seconds: float) -> str:
    return format_duration(seconds, digits=3)
