"""A plan as JSON: the published format, whole and readable."""

# ruff: noqa: RUF001 - signs as the pages show them
from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import finance, impossible, latencies, portfolio, receipts

from pilotage.errors import UsageError
from pilotage.plan.option import Obstacle
from pilotage.plan.report import plan_json, portfolio_json, to_plan_file
from pilotage.plan.result import Plan
from pilotage.spec import read_plan


def written(plan: Plan, folder: Path) -> Path:
    path = folder / "plan.json"
    path.write_text(json.dumps(plan_json(plan), allow_nan=False), encoding="utf-8")
    return path


def test_a_plan_is_read_back_as_it_was(tmp_path: Path) -> None:
    plan = read_plan(written(receipts(), tmp_path))

    assert (plan.name, plan.pilotage) == ("receipts", "0.1.0")
    assert plan.created_at == receipts().created_at
    one = plan.deployment
    assert (one.strategy, one.instance_type, one.count) == ("ecs-gpu", "g6e.xlarge", 4)
    assert (one.engine, one.dtype, one.tensor_parallel) == ("vllm", "awq", 1)
    assert one.settings == {
        "max_num_seqs": 64,
        "max_num_batched_tokens": 8192,
        "max_model_len": 4096,
    }
    said = plan.predictions
    assert said.ttft and said.e2e
    assert (said.rate, said.mean_rate, said.ttft.p99, said.e2e.p50) == (80, 20, 0.312, 0.79)
    assert said.usd_per_month == pytest.approx(5488.39)
    assert said.requests_per_s == 94
    # The option's own figure wins over the plan's; what only the plan states is kept.
    assert said.relative_error == {"ttft": 0.12, "tpot": 0.11, "e2e": 0.14, "memory_bytes": 0.03}


def test_a_plan_without_instances_is_read_too(tmp_path: Path) -> None:
    plan = read_plan(written(finance(), tmp_path))

    assert plan.deployment.strategy == "bedrock-on-demand"
    assert (plan.deployment.instance_type, plan.deployment.dtype) == (None, None)
    assert plan.deployment.settings == {}
    assert plan.predictions.tpot is None
    assert plan.predictions.memory_bytes is None


def test_the_reasons_stand_beside_it() -> None:
    data = to_plan_file(receipts())

    assert [one["deployment"]["label"] for one in data["runners_up"]][:2] == [
        "4 × g6e.2xlarge, awq",
        "6 × g6e.xlarge, fp8",
    ]
    assert {term["name"] for term in data["memory"]["terms"]} >= {"weights", "KV cache"}
    assert all(term["formula"] and term["source"] for term in data["cost"]["terms"])
    assert data["cost"]["value"] == pytest.approx(sum(t["value"] for t in data["cost"]["terms"]))
    unknown = next(one for one in data["infeasible"] if one["cost"] is None)
    assert unknown["obstacles"][0]["limit"] == "price unknown"
    assert unknown["obstacles"][0]["shortfall"] is None  # infinite
    assert data["decision_tree"]["overruled"] is True
    shares = [share for _, share in data["curves"]["ttft"]]
    assert shares == sorted(shares)


def test_without_an_answer_there_is_no_plan_file_but_advice() -> None:
    with pytest.raises(UsageError, match="no option fits"):
        to_plan_file(impossible())

    data = plan_json(impossible())
    assert data["schema"] == "pilotage.plan-infeasible/1"
    assert data["nearest_miss"]["deployment"]["instance_type"] == "p5.4xlarge"
    assert data["relax"] == ["Promise 0.8 s, or let answers have 60 tokens at most"]
    json.dumps(data, allow_nan=False)


def test_an_infeasible_plan_is_not_taken_for_a_plan(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="in which nothing fits"):
        read_plan(written(impossible(), tmp_path))


def test_a_plan_may_have_no_near_miss() -> None:
    hopeless = tuple(
        replace(one, obstacles=(Obstacle(limit="no GPU", message="none"),))
        for one in impossible().infeasible
    )
    data = plan_json(replace(impossible(), infeasible=hopeless))

    assert data["nearest_miss"] is None
    assert data["relax"] == []


def test_a_portfolio_holds_its_plans() -> None:
    data = portfolio_json(portfolio())

    assert data["fits"] is False
    assert [one["schema"] for one in data["plans"]] == [
        "pilotage.plan/1",
        "pilotage.plan/1",
        "pilotage.plan-infeasible/1",
    ]
    assert data["usd_per_month"] == pytest.approx(5488.39 + 359)
    assert data["shares"]["finance"] == pytest.approx(359 / 5000)
    assert data["shares"]["receipts-on-a-t4"] is None
    json.dumps(data, allow_nan=False)


numbers = st.floats(min_value=0, allow_nan=False, allow_infinity=True)


@given(times=st.tuples(numbers, numbers, numbers), rate=numbers, load=numbers, error=numbers)
def test_whatever_the_figures_the_file_can_be_read(
    tmp_path_factory: pytest.TempPathFactory,
    times: tuple[float, float, float],
    rate: float,
    load: float,
    error: float,
) -> None:
    p50, p90, p99 = sorted(times)
    plan = receipts()
    assert plan.chosen and plan.chosen.estimate
    estimate = replace(
        plan.chosen.estimate,
        e2e=replace(latencies(p50, p90, p99), p99_low=p99, p99_high=math.inf),
        requests_per_s=rate,
        utilisation=load,
        relative_error={"e2e": error},
    )
    changed = replace(plan, chosen=replace(plan.chosen, estimate=estimate), pareto=(), curves=())
    found = read_plan(written(changed, tmp_path_factory.mktemp("plan"))).predictions

    assert found.e2e
    assert found.e2e.p99 == (p99 if 0 < p99 < math.inf else None)
    assert found.requests_per_s == (rate if 0 < rate < math.inf else None)
