"""The search: the cheapest that does, honest about what does not."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planning import demand, example, question

from pilotage.catalog.prices import load_price_book
from pilotage.errors import SpecError, UsageError
from pilotage.plan.assumptions import assume
from pilotage.plan.found import Found
from pilotage.plan.question import check
from pilotage.plan.result import Plan, worst_shortfall
from pilotage.plan.search import search
from pilotage.plan.sensitivity import sensitivity

PRICES = load_price_book("us-east-1")
FEW = ("ecs-gpu",)
"""One strategy: what these tests are about does not depend on it."""


def cost(plan: Plan) -> float:
    return plan.chosen.cost.usd_per_month if plan.chosen and plan.chosen.cost else math.inf


@pytest.fixture(scope="module")
def small() -> Found:
    return search(question(), PRICES)


def test_the_cheapest_feasible_is_chosen(small: Found) -> None:
    feasible = [one.option for one in small.judged if one.option.feasible]
    assert small.plan.chosen in feasible
    assert cost(small.plan) == min(one.cost.usd_per_month for one in feasible if one.cost)


def test_runners_up_cost_more_and_obstacles_are_kept(small: Found) -> None:
    plan = small.plan
    assert all(one.cost and one.cost.usd_per_month >= cost(plan) for one in plan.runners_up)
    assert plan.infeasible
    assert all(one.obstacles and one.obstacles[0].message for one in plan.infeasible)


def test_promises_are_kept_by_simulation(small: Found) -> None:
    chosen = small.plan.chosen
    assert chosen is not None
    assert chosen.estimate is not None
    assert chosen.estimate.ttft is not None
    assert chosen.estimate.ttft.p99 <= 2.0
    assert chosen.estimate.requests_per_s >= 5
    assert chosen.estimate.ttft.p99_low <= chosen.estimate.ttft.p99 <= chosen.estimate.ttft.p99_high
    assert 0 < chosen.estimate.floor_e2e_s < chosen.estimate.e2e.p50


def test_memory_is_shown_term_by_term(small: Found) -> None:
    assert small.plan.chosen is not None
    estimate = small.plan.chosen.estimate
    assert estimate is not None
    assert estimate.memory is not None
    assert {"weights", "KV cache"} <= {term.name for term in estimate.memory.terms}
    assert estimate.memory.value <= estimate.memory_bytes


def test_pareto_tree_and_curves_are_there(small: Found) -> None:
    assert sum(point.chosen for point in small.plan.pareto) == 1
    assert small.plan.tree is not None
    assert {curve.metric for curve in small.plan.curves} == {"ttft", "tpot", "e2e"}


def test_the_same_question_has_the_same_answer(small: Found) -> None:
    again = search(question(), PRICES).plan
    assert again.chosen == small.plan.chosen


def test_sensitivity_has_a_row_a_factor(small: Found) -> None:
    rows = sensitivity(small, loads=(0.5, 1.0, 4.0), lengths=(1.0, 2.0))
    loads = [row for row in rows if row.of == "load"]
    assert [row.factor for row in loads] == [0.5, 1.0, 4.0]
    costs = [row.usd_per_month for row in loads]
    assert costs == sorted(costs)
    base = next(row for row in rows if row.factor == 1.0)
    assert base.usd_per_month == cost(small.plan)
    assert base.held_feasible


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(low=st.floats(200, 3000), factor=st.floats(1.05, 4))
def test_a_smaller_budget_never_makes_more_feasible(low: float, factor: float) -> None:
    less = search(question(usd_per_month=low, strategies=FEW), PRICES).plan
    more = search(question(usd_per_month=low * factor, strategies=FEW), PRICES).plan
    assert more.feasible or not less.feasible
    if less.feasible:
        assert cost(less) == cost(more)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rate=st.floats(1, 60), factor=st.floats(1.5, 5))
def test_more_load_never_costs_less(rate: float, factor: float) -> None:
    calm = search(question(rate=rate, strategies=FEW), PRICES).plan
    busy = search(question(rate=rate * factor, strategies=FEW), PRICES).plan
    # Two simulations may tell a copy in fifty apart differently.
    assert cost(busy) >= 0.97 * cost(calm)


def test_a_budget_that_nothing_meets_names_the_nearest() -> None:
    plan = search(question(usd_per_month=100, strategies=FEW), PRICES).plan
    assert not plan.feasible
    nearest = plan.nearest_miss
    assert nearest is not None
    assert nearest.obstacles[0].limit == "usd_per_month"
    assert "raise the budget" in nearest.obstacles[0].relax
    assert worst_shortfall(nearest) > 1


def test_a_promise_below_the_floor_is_refused_with_the_arithmetic() -> None:
    asked = question(e2e_p99=0.01, ttft_p99=None, strategies=FEW)
    plan = search(asked, PRICES).plan
    assert not plan.feasible
    messages = [
        obstacle.message
        for one in plan.infeasible
        for obstacle in one.obstacles
        if obstacle.limit == "e2e_p99"
    ]
    assert any("GB of weights /" in message and "at least" in message for message in messages)


def test_unknown_prices_are_obstacles_and_never_zero() -> None:
    plan = search(question(strategies=("sagemaker-realtime",)), PRICES).plan
    assert not plan.feasible
    limits = {obstacle.limit for one in plan.infeasible for obstacle in one.obstacles}
    assert "price unknown" in limits
    priced = load_price_book("us-east-1", given=["ml.g6.xlarge=1.1"])
    again = search(question(strategies=("sagemaker-realtime",)), priced).plan
    assert again.chosen is not None
    assert again.chosen.configuration.instance_type == "ml.g6.xlarge"


def test_bursts_that_last_are_scaled_for() -> None:
    bursty = {"rate": 20.0, "peak": 200.0, "shape": "spiky", "strategies": FEW}
    up = search(question(**bursty), PRICES).plan
    scaled = search(question(**bursty, assumptions=assume(["burst=4h"])), PRICES).plan
    assert up.chosen is not None
    assert scaled.chosen is not None
    assert up.chosen.configuration.count == up.chosen.configuration.max_count
    assert scaled.chosen.configuration.count < scaled.chosen.configuration.max_count
    assert cost(scaled) < cost(up)


class TestTheStories:
    def test_finance_needs_the_memory_of_several_accelerators(self) -> None:
        plan = search(example("finance", strategies=FEW), PRICES).plan
        assert plan.chosen is not None
        assert plan.chosen.cost is not None
        assert plan.chosen.cost.usd_per_request < 0.02
        assert plan.chosen.configuration.precision.name == "awq"
        alone = [
            one
            for one in plan.infeasible
            if one.configuration.instance_type == "g6e.xlarge"
            and one.configuration.tensor_parallel == 1
        ]
        assert alone[0].obstacles[0].limit == "memory"

    def test_receipts_refuse_the_t4(self) -> None:
        plan = search(example("receipts", strategies=FEW), PRICES).plan
        on_t4 = [
            one
            for one in plan.infeasible
            if (one.configuration.instance_type or "").startswith("g4dn")
        ]
        assert on_t4
        assert "memory" in {one.obstacles[0].limit for one in on_t4}
        for option in (plan.chosen, *plan.runners_up):
            assert option is None or not option.configuration.instance_type.startswith("g4dn")

    def test_inferentia_runs_the_encoder(self) -> None:
        plan = search(example("inferentia", strategies=("ecs-neuron",)), PRICES).plan
        assert plan.chosen is not None
        assert plan.chosen.configuration.engine == "neuron"
        assert plan.chosen.configuration.instance_type.startswith("inf2")


class TestBadInput:
    def test_no_traffic(self) -> None:
        with pytest.raises(UsageError, match="traffic"):
            check(question(rate=0.0))

    def test_a_budget_of_nothing(self) -> None:
        with pytest.raises(UsageError, match="budget of 0"):
            check(question(usd_per_month=0.0))

    def test_an_answer_before_its_first_token(self) -> None:
        with pytest.raises(SpecError, match="contradict"):
            check(question(ttft_p99=2.0, e2e_p99=1.0))

    def test_a_token_slower_than_the_answer(self) -> None:
        with pytest.raises(SpecError, match="contradict"):
            check(question(ttft_p99=None, tpot_p99=2.0, e2e_p99=1.0))

    def test_longer_than_the_context(self) -> None:
        with pytest.raises(SpecError, match="longer than the model's context"):
            check(question(max_model_len=10**6))

    def test_prompts_longer_than_planned_for(self) -> None:
        with pytest.raises(SpecError, match="do not fit"):
            check(question(max_model_len=512))

    def test_images_without_eyes(self) -> None:
        with pytest.raises(SpecError, match="takes none"):
            check(question(images=1, image_width=64, image_height=64))

    def test_an_impossible_promise_of_no_time(self) -> None:
        with pytest.raises(UsageError, match="above 0"):
            check(dataclasses.replace(question(), demand=demand(ttft_p99=0.0)))


def test_without_headroom_the_choice_and_its_price_are_the_same(small: Found) -> None:
    quick = search(question(), PRICES, headroom=False).plan
    assert small.plan.chosen is not None
    assert quick.chosen is not None
    assert quick.chosen.configuration == small.plan.chosen.configuration
    assert cost(quick) == cost(small.plan)
    assert quick.chosen.estimate is not None
    assert quick.chosen.estimate.requests_per_s == 5
