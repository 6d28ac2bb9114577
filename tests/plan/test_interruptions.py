"""Spot instances that are taken away: what the plan says of it."""

from __future__ import annotations

import dataclasses

from planning import question

from pilotage.catalog.prices import load_price_book
from pilotage.plan.assumptions import assume
from pilotage.plan.interruptions import interruption_check
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


def test_the_others_are_simulated_without_it() -> None:
    found = search(question(**SPOT, rate=180.0, ttft_p99=0.15), PRICES, headroom=False)
    (text,) = told(found.plan)
    assert found.chosen is not None
    assert found.chosen.sized is not None
    copies = found.chosen.sized.copies
    assert copies > 1
    assert f"{copies} times a day" in text
    assert "until its successor answers the others do not keep the promises" in text
    # With two to spare the loss of one is no matter.
    spare = dataclasses.replace(found.chosen.sized, copies=copies + 2)
    note = interruption_check(
        found.offers, found.sizer, dataclasses.replace(found.chosen, sized=spare)
    )
    assert note is not None
    assert "until its successor answers the others keep the promises: TTFT of" in note.text


def test_a_start_within_the_notice_loses_nobody() -> None:
    asked = question(**SPOT, assumptions=assume(["start=90s"]))
    (text,) = told(search(asked, PRICES, headroom=False).plan)
    assert "its successor has started before it goes" in text


def test_what_cannot_be_taken_away_is_not_spoken_of() -> None:
    given = assume(["spot.interruptions=0/day"])
    assert not told(search(question(**SPOT, assumptions=given), PRICES, headroom=False).plan)
    assert not told(search(question(strategies=("ecs-gpu",)), PRICES, headroom=False).plan)
