"""A plan as JSON: what ``serve``, ``ship`` and ``prove`` read, and all the reasons beside it.

====================================  ==========================================================
``pilotage.plan/1``                   a plan with an answer, see `pilotage.spec.PlanFile`
``pilotage.plan-infeasible/1``        nothing fits: the nearest miss, and what to relax
``pilotage.portfolio/1``              several of them under one budget
====================================  ==========================================================

Base units throughout; a number that does not exist (an infinite shortfall) is null.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from pilotage.errors import UsageError
from pilotage.plan.option import Configuration, Cost, Estimate, Latencies, Option
from pilotage.plan.report.wording import label, settings
from pilotage.plan.result import Plan, PortfolioPlan
from pilotage.plan.terms import Sum
from pilotage.spec.plan_file import PLAN_SCHEMA

INFEASIBLE_SCHEMA: Final = "pilotage.plan-infeasible/1"
PORTFOLIO_SCHEMA: Final = "pilotage.portfolio/1"


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan file, or what is said in its place when nothing fits."""
    return to_plan_file(plan) if plan.feasible else _infeasible(plan)


def to_plan_file(plan: Plan) -> dict[str, Any]:
    """The plan in the published format, JSON-ready.

    Raises:
        UsageError: Nothing fits, so there is nothing to serve or ship.
    """
    chosen = plan.chosen
    if chosen is None:
        raise UsageError(
            "has no plan file: no option fits",
            where=plan.name,
            hint="Relax what the nearest miss names, and plan again",
        )
    return {
        "schema": PLAN_SCHEMA,
        **_about(plan),
        "deployment": _deployment(chosen.configuration),
        "predictions": _predictions(plan, chosen),
        "cost": _cost(chosen.cost),
        "memory": _memory(chosen.estimate),
        **_reasons(plan),
    }


def portfolio_json(portfolio: PortfolioPlan) -> dict[str, Any]:
    """A portfolio with every deployment's plan in it."""
    return {
        "schema": PORTFOLIO_SCHEMA,
        "name": portfolio.name,
        "created_at": portfolio.created_at.isoformat(),
        "pilotage": portfolio.pilotage,
        "fits": portfolio.fits,
        "usd_per_month": _finite(portfolio.total),
        "budget_usd_per_month": _finite(portfolio.usd_per_month),
        "shares": {plan.name: _finite(portfolio.share(plan)) for plan in portfolio.plans},
        "relax": list(portfolio.relax),
        "plans": [plan_json(plan) for plan in portfolio.plans],
    }


def _infeasible(plan: Plan) -> dict[str, Any]:
    miss = plan.nearest_miss
    relax = [one.relax for one in miss.obstacles if one.relax] if miss is not None else []
    return {
        "schema": INFEASIBLE_SCHEMA,
        **_about(plan),
        "nearest_miss": None if miss is None else _option(miss),
        "relax": relax,
        **_reasons(plan),
    }


def _about(plan: Plan) -> dict[str, Any]:
    return {
        "name": plan.name,
        "created_at": plan.created_at.isoformat(),
        "pilotage": plan.pilotage,
        "region": plan.region,
        "model": _plain(plan.model),
        "demand": _plain(plan.demand),
    }


def _deployment(one: Configuration) -> dict[str, Any]:
    return {
        "strategy": one.strategy,
        "instance_type": one.instance_type,
        "count": one.count,
        "engine": one.engine,
        "dtype": one.precision.name if one.precision else None,
        "tensor_parallel": one.tensor_parallel,
        "pipeline_parallel": one.pipeline_parallel,
        "settings": settings(one),
        "label": label(one),
        "replicas": one.replicas,
        "max_count": one.max_count,
        "kv_tokens": one.limits.kv_tokens if one.limits else None,
    }


def _predictions(plan: Plan, option: Option) -> dict[str, Any]:
    """As the schema has it; what is not positive there is not predicted."""
    # The latencies are those of the busiest minutes, so that is the rate to hold them against.
    found: dict[str, Any] = {"rate": plan.demand.busiest_rate, "mean_rate": plan.demand.rate}
    estimate, cost = option.estimate, option.cost
    if estimate is not None:
        found |= {
            "ttft": _latencies(estimate.ttft),
            "tpot": _latencies(estimate.tpot),
            "e2e": _latencies(estimate.e2e),
            "requests_per_s": _positive(estimate.requests_per_s),
            "output_tokens_per_s": _positive(estimate.output_tokens_per_s),
            "utilisation": _finite(estimate.utilisation),
            "floor_e2e_s": _positive(estimate.floor_e2e_s),
        }
        if estimate.memory is not None and estimate.memory.value >= 1:
            found["memory_bytes"] = round(estimate.memory.value)
    if cost is not None:
        found |= {
            "usd_per_month": _finite(cost.usd_per_month),
            "usd_per_million_tokens": _finite(cost.usd_per_million_tokens),
            "usd_per_request": _finite(cost.usd_per_request),
        }
    stated = {one.name: one.relative for one in plan.errors}
    if estimate is not None:
        stated |= estimate.relative_error
    found["relative_error"] = {name: by for name, by in stated.items() if math.isfinite(by)}
    return found


def _latencies(found: Latencies | None) -> dict[str, float | None] | None:
    if found is None:
        return None
    return {
        "p50": _positive(found.p50),
        "p90": _positive(found.p90),
        "p99": _positive(found.p99),
        "p99_low": _finite(found.p99_low),
        "p99_high": _finite(found.p99_high),
    }


def _reasons(plan: Plan) -> dict[str, Any]:
    return {
        "considered": plan.considered,
        "search_seconds": plan.seconds,
        "runners_up": [_option(one) for one in plan.runners_up],
        "infeasible": [_option(one) for one in plan.infeasible],
        "decision_tree": _plain(plan.tree),
        "pareto": _plain(plan.pareto),
        "sensitivity": _plain(plan.sensitivity),
        "curves": {curve.metric: _plain(curve.points) for curve in plan.curves},
        "errors": _plain(plan.errors),
        "notes": _plain(plan.notes),
    }


def _option(option: Option) -> dict[str, Any]:
    estimate = option.estimate
    latencies = {
        metric: _latencies(getattr(estimate, metric)) if estimate else None
        for metric in ("ttft", "tpot", "e2e")
    }
    return {
        "deployment": _deployment(option.configuration),
        "feasible": option.feasible,
        **latencies,
        "requests_per_s": _finite(estimate.requests_per_s) if estimate else None,
        "utilisation": _finite(estimate.utilisation) if estimate else None,
        "cost": _cost(option.cost),
        "memory": _memory(estimate),
        "obstacles": _plain(option.obstacles),
    }


def _cost(cost: Cost | None) -> dict[str, Any] | None:
    if cost is None:
        return None
    return {
        **_sum(cost.monthly),
        "usd_per_month": _finite(cost.usd_per_month),
        "usd_per_request": _finite(cost.usd_per_request),
        "usd_per_million_tokens": _finite(cost.usd_per_million_tokens),
        "idle_usd": _finite(cost.idle_usd),
    }


def _memory(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None or estimate.memory is None:
        return None
    return {**_sum(estimate.memory), "available_bytes": estimate.memory_bytes}


def _sum(terms: Sum) -> dict[str, Any]:
    return {"name": terms.name, "value": _finite(terms.value), "terms": _plain(terms.terms)}


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries, and no number that JSON lacks."""
    return _without_infinities(msgspec.to_builtins(value))


def _without_infinities(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_infinities(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinities(one) for one in value]
    return _finite(value) if isinstance(value, float) else value


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _positive(value: float | None) -> float | None:
    found = _finite(value)
    return found if found is not None and found > 0 else None
