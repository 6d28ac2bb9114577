"""The plan beside reality: each predicted figure with the measured one and the error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pilotage.prove.analysis.costs import HOURS_A_MONTH
from pilotage.prove.result import Capacity, Costs, Distribution, Estimate, Measures, Prediction
from pilotage.spec import Percentiles, PlanFile

_PERCENTILES: Final = ("p50", "p90", "p99")


def compare(
    plan: PlanFile,
    measures: Measures,
    costs: Costs | None = None,
    capacity: Capacity | None = None,
) -> tuple[Prediction, ...]:
    """Each figure that ``plan`` predicts, beside what was measured.

    The rate comes first: latencies were predicted for one, and compare only at the same. What a
    client cannot see (memory), or what was not asked for (the capacity without a search, costs
    without prices), has no measured value.

    Args:
        plan: The planner's output.
        measures: Of the run.
        costs: Of the run, if prices were given.
        capacity: Of a search, if there was one. It lies between the highest rate that held and
            the lowest that did not.
    """
    return tuple(_rows(plan, measures, costs or Costs(), capacity))


def _rows(
    plan: PlanFile, measures: Measures, costs: Costs, capacity: Capacity | None
) -> Iterator[Prediction]:
    said, stated = plan.predictions, plan.predictions.relative_error
    yield _row("rate", "/s", said.rate, Estimate(value=measures.offered_rate), None)
    latencies: tuple[tuple[str, Percentiles | None, Distribution | None], ...] = (
        ("ttft", said.ttft, measures.ttft),
        ("tpot", said.tpot, measures.tpot),
        ("e2e", said.e2e, measures.e2e),
    )
    for metric, predicted, measured in latencies:
        for name in _PERCENTILES:
            value: float | None = getattr(predicted, name, None)
            estimate: Estimate = getattr(measured, name, Estimate(value=None))
            error = stated.get(f"{metric}_{name}", stated.get(metric))
            if value is not None:
                yield _row(f"{metric} {name}", "s", value, estimate, error)
    held = Estimate(value=None)
    if capacity is not None:
        held = Estimate(value=capacity.rate, low=capacity.rate, high=capacity.broken_at)
    monthly = None if costs.usd_per_hour is None else costs.usd_per_hour * HOURS_A_MONTH
    request = None if costs.per_million_requests is None else costs.per_million_requests / 1e6
    output, tokens = _exact(measures.output_tokens_rate), _exact(costs.per_million_tokens)
    others = (
        ("requests_per_s", "capacity", "/s", said.requests_per_s, held),
        ("output_tokens_per_s", "output tokens", "tokens/s", said.output_tokens_per_s, output),
        ("memory_bytes", "memory", "bytes", said.memory_bytes, _exact(None)),
        ("usd_per_month", "cost a month", "USD", said.usd_per_month, _exact(monthly)),
        (
            "usd_per_million_tokens",
            "cost a million tokens",
            "USD",
            said.usd_per_million_tokens,
            tokens,
        ),
        ("usd_per_request", "cost a request", "USD", said.usd_per_request, _exact(request)),
    )
    for field, name, unit, value, estimate in others:
        if value is not None:
            yield _row(name, unit, value, estimate, stated.get(field))


def _exact(value: float | None) -> Estimate:
    return Estimate(value=value)


def _row(
    name: str, unit: str, predicted: float, measured: Estimate, stated: float | None
) -> Prediction:
    low, high = measured.low, measured.high
    bounded = low is not None or high is not None
    return Prediction(
        name=name,
        unit=unit,
        predicted=predicted,
        measured=measured.value,
        low=low,
        high=high,
        error=(predicted - measured.value) / measured.value if measured.value else None,
        within=(low is None or low <= predicted) and (high is None or predicted <= high)
        if bounded
        else None,
        stated_error=stated,
    )
