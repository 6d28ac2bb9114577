"""Spot instances that are taken away: what the plan says of it."""

from __future__ import annotations

import pytest
from planning import question

from pilotage.catalog.prices import load_price_book
from pilotage.plan.assumptions import assume
from pilotage.plan.result import Plan
from pilotage.plan.search import search

PRICES = load_price_book("us-east-1", given=["g6.xlarge:spot=0.3"])
SPOT = {"market": "spot", "strategies": ("ecs-gpu",)}


def told(plan: Plan) -> list[str]:
    assert plan.chosen is not None
    return [note.text for note in plan.notes if "taken away" in note.text]


def test_a_lone_instance_leaves_nobody() -> None:
    plan = search(question(**SPOT), PRICES, headroom=False).plan
    (text,) = told(plan)
    assert text.startswith("1 times a day a spot instance is taken away; for ")
    assert text.endswith("nobody is served.")


@pytest.mark.parametrize(
    ("ttft", "says"), [(20.0, "the others keep the promises"), (0.15, "do not keep")]
)
def test_the_others_are_simulated_without_it(ttft: float, says: str) -> None:
    asked = question(**SPOT, rate=180.0, ttft_p99=ttft)
    found = search(asked, PRICES, headroom=False)
    (text,) = told(found.plan)
    assert found.chosen is not None
    assert found.chosen.sized is not None
    copies = found.chosen.sized.copies
    assert copies > 1
    assert f"{copies} times a day" in text
    assert says in text


def test_a_start_within_the_notice_loses_nobody() -> None:
    asked = question(**SPOT, assumptions=assume(["start=90s"]))
    (text,) = told(search(asked, PRICES, headroom=False).plan)
    assert "its successor has started before it goes" in text


def test_what_cannot_be_taken_away_is_not_spoken_of() -> None:
    given = assume(["spot.interruptions=0/day"])
    assert not told(search(question(**SPOT, assumptions=given), PRICES, headroom=False).plan)
    assert not told(search(question(strategies=("ecs-gpu",)), PRICES, headroom=False).plan)
