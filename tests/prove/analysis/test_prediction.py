from datetime import UTC, datetime
from typing import Any

import pytest
from trials import FAILED, of_latencies, streamed, trial

from pilotage.prove.analysis.costs import costs
from pilotage.prove.analysis.measures import measures
from pilotage.prove.analysis.prediction import compare
from pilotage.prove.result import Capacity, Prediction
from pilotage.spec import PlanFile, PlannedDeployment, Predictions


def plan(**predictions: Any) -> PlanFile:
    return PlanFile(
        name="demo",
        created_at=datetime(2026, 11, 22, tzinfo=UTC),
        pilotage="0.1.0",
        deployment=PlannedDeployment(strategy="machine"),
        predictions=Predictions.model_validate({"rate": 10.0, **predictions}),
    )


def by_name(rows: tuple[Prediction, ...]) -> dict[str, Prediction]:
    return {row.name: row for row in rows}


def test_every_figure_beside_its_measurement() -> None:
    run = trial(
        [streamed(i, first=0.2, tpot=0.01, tokens=21, prompt_tokens=79) for i in range(400)]
    )
    found = measures(run, slo={})
    said = plan(
        ttft={"p50": 0.1, "p99": 0.3},
        tpot={"p50": 0.01},
        e2e={"p90": 0.4},
        requests_per_s=30.0,
        output_tokens_per_s=200.0,
        memory_bytes=1_000_000,
        usd_per_month=1000.0,
        usd_per_million_tokens=2.0,
        usd_per_request=1e-4,
        relative_error={"ttft": 0.15, "ttft_p99": 0.3, "output_tokens_per_s": 0.2},
    )
    capacity = Capacity(rate=20, broken_at=25, steps=(), sentence="")
    rows = compare(said, found, costs(found, usd_per_hour=3.6), capacity)
    assert [row.name for row in rows] == [
        "rate",
        "ttft p50",
        "ttft p99",
        "tpot p50",
        "e2e p90",
        "capacity",
        "output tokens",
        "memory",
        "cost a month",
        "cost a million tokens",
        "cost a request",
    ]
    named = by_name(rows)
    assert named["rate"].error == pytest.approx(0)
    first = named["ttft p50"]
    assert (first.measured, first.error) == (pytest.approx(0.2), pytest.approx(-0.5))
    assert (first.within, first.unit, first.stated_error) == (False, "s", 0.15)
    assert named["ttft p99"].stated_error == 0.3
    assert named["tpot p50"].within is not None
    held = named["capacity"]
    assert (held.measured, held.low, held.high, held.within) == (20, 20, 25, False)
    assert named["output tokens"].measured == pytest.approx(210, rel=0.02)
    assert (named["memory"].measured, named["memory"].error) == (None, None)
    assert named["cost a month"].measured == pytest.approx(3.6 * 730)
    assert named["cost a million tokens"].measured == pytest.approx(1.0, rel=0.05)
    assert named["cost a request"].measured == pytest.approx(1e-4, rel=0.05)


def test_what_was_not_measured_has_no_error() -> None:
    said = plan(ttft={"p99": 0.3}, requests_per_s=5.0, usd_per_request=0.1)
    for run in (of_latencies([0.1] * 5), of_latencies([FAILED] * 5), trial([], due_s=1)):
        rows = by_name(compare(said, measures(run, slo={})))
        for name in ("ttft p99", "capacity", "cost a request"):
            row = rows[name]
            assert (row.measured, row.error, row.within) == (None, None, None)


def test_a_percentile_that_failures_reach_is_above_any_prediction() -> None:
    said = plan(e2e={"p99": 0.05})
    row = by_name(compare(said, measures(of_latencies([0.1] * 98 + [FAILED] * 2), slo={})))
    assert row["e2e p99"].measured is None
    assert row["e2e p99"].within is False  # even the lower end is above it
