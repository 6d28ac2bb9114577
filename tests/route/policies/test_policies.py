"""Policies as pure functions: always an end, no tier twice, never more answers than allowed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pilotage.route.policies import (
    Ask,
    Cascade,
    CascadeRouting,
    GiveUp,
    Policy,
    PreRouter,
    State,
    Static,
    Take,
    Tried,
    with_tried,
    would_take,
)

TIERS = ("t0", "t1", "t2", "t3")
shares = st.floats(0, 1)
money = st.floats(0, 10)
by_tier = st.dictionaries(st.sampled_from(TIERS), shares)
qualities = st.one_of(st.just({}), st.fixed_dictionaries(dict.fromkeys(TIERS, shares)))
policies = st.one_of(
    st.builds(Static, st.sampled_from(TIERS), st.booleans()),
    st.builds(PreRouter, money),
    st.builds(Cascade, by_tier, money),
    st.builds(CascadeRouting, money, money, by_tier),
)


@dataclass(frozen=True)
class Event:
    """What comes of asking a tier, and how much time is left then."""

    fails: bool
    generated: bool
    score: float | None
    left: float


events = st.builds(
    Event, st.booleans(), st.booleans(), st.one_of(st.none(), shares), st.floats(-1, 20)
)


@given(
    policy=policies,
    quality=qualities,
    cost=st.dictionaries(st.sampled_from(TIERS), money),
    latency_s=st.dictionaries(st.sampled_from(TIERS), money),
    most=st.integers(1, 5),
    story=st.lists(events, min_size=len(TIERS), max_size=len(TIERS)),
)
def test_followed_step_by_step_it_comes_to_an_end(
    *,
    policy: Policy,
    quality: dict[str, float],
    cost: dict[str, float],
    latency_s: dict[str, float],
    most: int,
    story: list[Event],
) -> None:
    state = State(tiers=TIERS, remaining=most, quality=quality, cost=cost, latency_s=latency_s)
    generated = 0
    certain: str | None = None
    for event in story:
        action = policy.decide(state)
        assert policy.decide(state) == action
        if not isinstance(action, Ask):
            break
        assert certain is None
        assert action.tier not in {one.tier for one in state.tried}
        assert state.remaining > 0
        assert state.time_left_s > 0
        assert 0 <= policy.bar(state, action.tier) <= 1
        state = replace(state, time_left_s=min(state.time_left_s, event.left))
        if event.fails:
            one, counts = Tried(tier=action.tier, failed=True), event.generated
        elif would_take(policy, state, action.tier):
            # Taken whatever is said of it, so also when nothing is.
            certain = action.tier
            one, counts = Tried(tier=action.tier), True
        else:
            one, counts = Tried(tier=action.tier, score=event.score), True
        generated += counts
        state = with_tried(state, one, generated=counts)
    # A step a tier is all it takes.
    end = policy.decide(state)
    assert not isinstance(end, Ask)
    assert generated <= most
    if isinstance(end, Take):
        assert end.tier in {one.tier for one in state.answers}
        assert certain in {None, end.tier}
    else:
        assert not state.answers


def start(remaining: int = 2, **fields: object) -> State:
    return replace(State(tiers=TIERS, remaining=remaining), **fields)  # type: ignore[arg-type]


def asked(policy: Policy, state: State) -> str:
    action = policy.decide(state)
    assert isinstance(action, Ask)
    return action.tier


def taken(policy: Policy, state: State) -> str:
    action = policy.decide(state)
    assert isinstance(action, Take)
    return action.tier


def tried(state: State, tier: str, score: float | None = None) -> State:
    return with_tried(state, Tried(tier=tier, score=score))


def failed(state: State, tier: str) -> State:
    return with_tried(state, Tried(tier=tier, failed=True), generated=False)


FIRM = dict.fromkeys(TIERS[:-1], 0.8)


@given(policies, qualities)
def test_without_time_nothing_is_asked(policy: Policy, quality: dict[str, float]) -> None:
    assert policy.decide(start(quality=quality, time_left_s=0.0)) == GiveUp()


def test_static_falls_back_upwards_and_never_down() -> None:
    assert asked(Static("t1"), start()) == "t1"
    assert asked(Static("t1"), failed(start(), "t1")) == "t2"
    assert Static("t3").decide(failed(start(), "t3")) == GiveUp()
    assert Static("t1", fall_back=False).decide(failed(start(), "t1")) == GiveUp()
    assert taken(Static("t1"), tried(start(), "t1", 0.0)) == "t1"


def test_the_router_weighs_quality_against_money() -> None:
    quality = {"t0": 0.5, "t1": 0.7, "t2": 0.8, "t3": 0.9}
    cost = {"t0": 0.01, "t1": 0.02, "t2": 0.1, "t3": 1.0}
    state = start(quality=quality, cost=cost)
    assert [asked(PreRouter(weight), state) for weight in (0, 0.5, 2, 100)] == [
        "t3",
        "t2",
        "t1",
        "t0",
    ]
    # Of equals the cheapest: an estimate that only says where to begin.
    suits = {"t0": 0.0, "t1": 1.0, "t2": 1.0, "t3": 1.0}
    assert asked(PreRouter(), start(quality=suits)) == "t1"
    assert asked(PreRouter(), start()) == "t3"
    assert asked(PreRouter(), failed(start(quality=suits), "t1")) == "t2"
    # With none above, a lesser answer is better than none.
    assert asked(PreRouter(), failed(start(), "t3")) == "t2"


def test_the_cascade_escalates_below_the_threshold_and_keeps_the_best() -> None:
    policy = Cascade(FIRM)
    assert asked(policy, start()) == "t0"
    assert taken(policy, tried(start(), "t0", 0.8)) == "t0"
    assert taken(policy, tried(start(), "t0")) == "t0"
    short = tried(start(), "t0", 0.79)
    assert asked(policy, short) == "t1"
    assert taken(policy, tried(short, "t1", 0.5)) == "t0"
    assert taken(policy, tried(short, "t1", 0.795)) == "t1"
    assert taken(policy, failed(failed(failed(short, "t1"), "t2"), "t3")) == "t0"
    # The last tier's answer is taken whatever is said of it.
    many = tried(tried(tried(start(9), "t0", 0.7), "t1", 0.7), "t2", 0.7)
    assert would_take(policy, many, "t3")
    assert taken(policy, tried(many, "t3", 0.0)) == "t3"


def test_the_cascade_passes_over_tiers_that_would_never_be_taken() -> None:
    policy = Cascade({"t1": 0.8})
    assert asked(policy, start()) == "t1"
    assert asked(policy, tried(start(), "t1", 0.1)) == "t3"


def test_an_answer_is_not_waited_for_that_cannot_come_in_time() -> None:
    short = tried(start(latency_s={"t1": 9.0, "t2": 1.0}, time_left_s=5.0), "t0", 0.1)
    assert asked(Cascade(FIRM), short) == "t2"
    assert taken(Cascade(FIRM), replace(short, time_left_s=0.0)) == "t0"


def test_cascade_routing_skips_what_promises_less() -> None:
    quality = {"t0": 0.6, "t1": 0.62, "t2": 0.7, "t3": 0.9}
    cost = {"t0": 0.01, "t1": 0.2, "t2": 0.3, "t3": 0.3}
    policy = CascadeRouting(1.0)
    state = start(quality=quality, cost=cost)
    assert asked(policy, state) == "t3"
    # t3 promises 0.9 - 1.2 = -0.3 at four times its price.
    dear = start(quality=quality, cost={**cost, "t3": 1.2})
    assert asked(policy, dear) == "t0"
    assert taken(policy, tried(dear, "t0", 0.45)) == "t0"
    assert asked(policy, tried(dear, "t0", 0.1)) == "t1"
    assert policy.bar(tried(dear, "t0"), "t0") == pytest.approx(0.42)


def test_waiting_costs_what_a_second_is_worth() -> None:
    quality = {"t0": 0.5, "t1": 0.0, "t2": 0.0, "t3": 0.9}
    state = start(quality=quality, latency_s={"t3": 10.0})
    assert asked(CascadeRouting(1.0), state) == "t3"
    assert asked(CascadeRouting(1.0, second_usd=0.05), state) == "t0"


def test_cascade_routing_without_a_calibration_takes_what_reaches_the_threshold() -> None:
    policy = CascadeRouting(0.0, thresholds=FIRM)
    certain = start(quality=dict.fromkeys(TIERS, 1.0))
    assert asked(policy, certain) == "t0"
    assert taken(policy, tried(certain, "t0", 0.85)) == "t0"
    assert asked(policy, tried(certain, "t0", 0.7)) == "t1"
    assert asked(policy, start()) == "t0"
    assert asked(policy, tried(start(), "t0", 0.7)) == "t1"


@given(policies, qualities, st.sampled_from(TIERS), shares, shares)
def test_a_better_score_never_unmakes_a_choice(
    policy: Policy, quality: dict[str, float], tier: str, low: float, high: float
) -> None:
    assume(low <= high)
    state = start(quality=quality)
    if isinstance(policy.decide(tried(state, tier, low)), Take):
        assert taken(policy, tried(state, tier, high)) == tier
