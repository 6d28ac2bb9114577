"""The value that a search gives: the nearest miss, totals and shares."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "report"))  # for `samples`

from samples import finance, impossible, portfolio, receipts, rented

from pilotage.catalog.anatomy import Anatomy, Attention, FeedForward, Layers, Vision
from pilotage.plan.option import Obstacle
from pilotage.plan.result import ModelFacts, worst_obstacle, worst_shortfall


def missing(*shortfalls: float) -> tuple[Obstacle, ...]:
    return tuple(
        Obstacle(limit=f"limit {place}", message="too little", shortfall=by)
        for place, by in enumerate(shortfalls)
    )


def test_the_nearest_miss_is_least_off_where_it_is_furthest_off() -> None:
    far = rented("g5.xlarge", 1, 1.0, obstacles=missing(1.01, 3.0))
    near = rented("g6.xlarge", 9, 9.0, obstacles=missing(1.5, 1.6))
    never = rented("inf2.xlarge", 1, 0.1, obstacles=missing(1.0, math.inf))
    plan = replace(impossible(), infeasible=(far, never, near))

    assert plan.nearest_miss is near
    assert worst_shortfall(far) == 3.0
    worst = worst_obstacle(far)
    assert worst and worst.limit == "limit 1"


def test_of_two_alike_the_cheaper_is_nearer() -> None:
    dear = rented("g6e.xlarge", 4, 2.0, obstacles=missing(1.5))
    cheap = rented("g5.xlarge", 4, 1.0, obstacles=missing(1.5))

    assert replace(impossible(), infeasible=(dear, cheap)).nearest_miss is cheap


def test_what_cannot_be_had_at_all_is_no_near_miss() -> None:
    never = rented("inf2.xlarge", 1, 0.1, obstacles=missing(math.inf))

    assert replace(impossible(), infeasible=(never,)).nearest_miss is None
    assert replace(impossible(), infeasible=()).nearest_miss is None


def test_an_option_without_obstacles_misses_nothing() -> None:
    chosen = receipts().chosen
    assert chosen

    assert worst_shortfall(chosen) == 1.0
    assert worst_obstacle(chosen) is None


def test_a_portfolio_adds_up_and_shares_out() -> None:
    whole = portfolio()

    assert whole.total == pytest.approx(5488.39 + 359)
    assert [whole.share(plan) for plan in whole.plans] == [
        pytest.approx(1.0977, rel=1e-3),
        pytest.approx(0.0718),
        None,
    ]
    assert not whole.complete
    assert not whole.fits


@pytest.mark.parametrize(("budget", "fits"), [(None, True), (6_000.0, True), (5_000.0, False)])
def test_it_fits_when_all_are_feasible_within_the_budget(budget: float | None, fits: bool) -> None:
    whole = replace(portfolio(), plans=(receipts(), finance()), usd_per_month=budget)

    assert whole.fits is fits
    if budget is None:
        assert sum(whole.share(plan) or 0 for plan in whole.plans) == pytest.approx(1)


def test_the_facts_of_a_model_come_from_its_anatomy() -> None:
    anatomy = Anatomy(
        name="tiny",
        family="llama",
        hidden=8,
        vocab=100,
        context_length=512,
        layers=(
            Layers(
                count=3,
                attention=Attention(
                    kind="full", heads=2, kv_heads=1, head_dim=4, value_head_dim=4, parameters=200
                ),
                feed_forward=FeedForward(intermediate=16, parameters=400, active_parameters=100),
                norm_parameters=16,
            ),
        ),
        embedding_parameters=800,
        head_parameters=0,
        other_parameters=8,
        vision=Vision(kind="prefix", parameters=50, layers=1, hidden=4, intermediate=8, patch=14),
    )
    facts = ModelFacts.of(anatomy, 256)

    assert (facts.parameters, facts.layers, facts.max_model_len) == (2706, 3, 256)
    assert facts.active_parameters == anatomy.active_parameters < facts.parameters
    assert facts.sees and not facts.encoder
    assert facts.stored == ""
    assert ModelFacts.of(anatomy).max_model_len == 512
