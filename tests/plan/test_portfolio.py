"""Several deployments under one budget."""

from __future__ import annotations

import dataclasses
import math

import pytest
from planning import question

from pilotage.catalog.prices import load_price_book
from pilotage.plan.found import Found
from pilotage.plan.portfolio import plan_portfolio, steps
from pilotage.plan.question import Question
from pilotage.plan.search import search

PRICES = load_price_book("us-east-1")


@pytest.fixture(scope="module")
def questions() -> tuple[Question, Question]:
    calm = dataclasses.replace(question(strategies=("ecs-gpu",)), name="calm")
    spiky = question(rate=5.0, peak=100.0, shape="spiky", strategies=("ecs-gpu",))
    return calm, dataclasses.replace(spiky, name="spiky")


@pytest.fixture(scope="module")
def found(questions: tuple[Question, Question]) -> list[Found]:
    return [search(one, PRICES) for one in questions]


def test_a_budget_that_holds(questions, found) -> None:
    made = plan_portfolio(questions, PRICES, name="two", usd_per_month=1e6, found=found)
    plan = made.plan
    assert plan.fits
    assert not plan.relax
    assert plan.total == pytest.approx(sum(one.plan.chosen.cost.usd_per_month for one in found))
    assert sum(plan.share(one) for one in plan.plans) == pytest.approx(plan.total / 1e6)


def test_without_a_budget_shares_are_of_the_total(questions, found) -> None:
    plan = plan_portfolio(questions, PRICES, name="two", usd_per_month=None, found=found).plan
    assert plan.fits
    assert sum(plan.share(one) for one in plan.plans) == pytest.approx(1)


def test_what_would_have_to_give_is_data(questions, found) -> None:
    made = plan_portfolio(questions, PRICES, name="two", usd_per_month=900, found=found)
    assert not made.plan.fits
    assert made.relaxations
    saves = [one.saves for one in made.relaxations]
    assert saves == sorted(saves, reverse=True)
    assert all(one.deployment in ("calm", "spiky") for one in made.relaxations)
    assert any("peak" in one.what for one in made.relaxations)
    assert len(made.plan.relax) >= len(made.relaxations)
    assert all(math.isfinite(one) for one in saves)


def test_each_step_gives_one_thing(questions) -> None:
    for base in questions:
        for what, changed in steps(base):
            assert what
            assert changed != base
            assert changed.name == base.name
