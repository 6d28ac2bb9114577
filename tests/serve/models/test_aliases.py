"""Aliases: whose turn it is, and which aliases cannot be."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.serve.control import AliasTarget
from pilotage.serve.models.aliases import AliasTable

MODELS = tuple(f"model-{index}" for index in range(8))


def table(*targets: AliasTarget, name: str = "chat") -> AliasTable:
    return AliasTable({name: targets}, lambda: MODELS)


def targets(weights: list[float]) -> tuple[AliasTarget, ...]:
    return tuple(AliasTarget(MODELS[index], weight) for index, weight in enumerate(weights))


def test_an_alias_is_its_model_and_other_names_are_none() -> None:
    aliases = table(AliasTarget("model-3"))
    assert [aliases.resolve("chat") for _ in range(3)] == ["model-3"] * 3
    assert aliases.resolve("model-3") is None
    assert aliases.resolve("") is None


@pytest.mark.parametrize("weights", [(90, 10), (9.0, 1.0), (0.9, 0.1), (1.8e6, 2e5)])
def test_ninety_to_ten_over_any_hundred_requests(weights: tuple[float, float]) -> None:
    aliases = table(*targets(list(weights)))
    went = [aliases.resolve("chat") for _ in range(1000)]
    for start in range(900):
        assert went[start : start + 100].count("model-0") == 90
    # Evenly, too: the ten are not in a row.
    assert max(len(run) for run in "".join(one[-1] for one in went if one).split("0")) == 1


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_over_one_period_everyone_has_exactly_its_share_wherever_it_begins(
    weights: list[int],
) -> None:
    aliases = table(*targets([float(weight) for weight in weights]))
    period = sum(weights)
    went = [aliases.resolve("chat") for _ in range(3 * period)]
    for start in {0, 1, period // 3, period - 1, period}:
        window = went[start : start + period]
        assert [window.count(MODELS[index]) for index in range(len(weights))] == weights


@given(st.lists(st.floats(min_value=1e-9, max_value=1e9), min_size=1, max_size=8))
@settings(deadline=None)
def test_nobody_is_ever_a_whole_request_away_from_its_share(weights: list[float]) -> None:
    aliases = table(*targets(weights))
    exact = [Fraction(str(weight)) for weight in weights]
    had = [0] * len(weights)
    for turn in range(1, 200):
        had[MODELS.index(str(aliases.resolve("chat")))] += 1
        for count, weight in zip(had, exact, strict=True):
            assert abs(count - turn * weight / sum(exact)) < 1


def test_extreme_weights_do_not_slow_or_break_it() -> None:
    aliases = table(*targets([5e-324, 1.7976931348623157e308]))
    assert {aliases.resolve("chat") for _ in range(1000)} == {"model-1"}


def test_moving_an_alias_concerns_the_next_request() -> None:
    aliases = table(AliasTarget("model-0"))
    assert aliases.resolve("chat") == "model-0"
    aliases.set("chat", (AliasTarget("model-1", 3), AliasTarget("model-2")))
    assert [aliases.resolve("chat") for _ in range(4)].count("model-1") == 3
    aliases.set("team/chat:v2", (AliasTarget("model-0"),))
    assert list(aliases.all()) == ["chat", "team/chat:v2"]
    assert aliases.all()["chat"] == (AliasTarget("model-1", 3), AliasTarget("model-2"))
    aliases.remove("chat")
    assert aliases.resolve("chat") is None
    assert list(aliases.all()) == ["team/chat:v2"]


def test_a_refused_change_changes_nothing() -> None:
    aliases = table(AliasTarget("model-0"))
    with pytest.raises(UsageError):
        aliases.set("chat", (AliasTarget("model-1"), AliasTarget("nobody")))
    assert aliases.all() == {"chat": (AliasTarget("model-0"),)}


@pytest.mark.parametrize(
    ("name", "behind", "said"),
    [
        ("model-1", (AliasTarget("model-0"),), "is the name of a model"),
        ("x", (), "no target"),
        ("x", (AliasTarget("modle-1"),), "Did you mean 'model-"),
        ("x", (AliasTarget("zzz"),), "Models: model-0, "),
        ("x", (AliasTarget("chat"),), "'chat' is an alias"),
        ("x", (AliasTarget("model-0"), AliasTarget("model-0", 2)), "named twice"),
        ("x", (AliasTarget("model-0", 0.0),), "weight 0 is no positive"),
        ("x", (AliasTarget("model-0", -1.0),), "weight -1 is no positive"),
        ("x", (AliasTarget("model-0", math.nan),), "weight nan is no positive"),
        ("x", (AliasTarget("model-0", math.inf),), "weight inf is no positive"),
    ],
)
def test_aliases_that_cannot_be(name: str, behind: tuple[AliasTarget, ...], said: str) -> None:
    aliases = table(AliasTarget("model-0"))
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        aliases.set(name, behind)


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "/a", "a/", "a//b", "..", "a/../b", ".a", "-a", "a\n", "é", "a?b", "x" * 129],
)
def test_names_that_no_alias_has(name: str) -> None:
    with pytest.raises(UsageError, match="no name for an alias"):
        AliasTable({}, lambda: MODELS).set(name, (AliasTarget("model-0"),))


def test_removing_what_is_not_there_names_what_is() -> None:
    with pytest.raises(UsageError, match="Did you mean 'chat'"):
        table(AliasTarget("model-0")).remove("chta")
    with pytest.raises(UsageError, match="Aliases: none"):
        AliasTable({}, lambda: MODELS).remove("chat")


def test_a_bad_alias_of_the_spec_is_refused_at_the_start() -> None:
    with pytest.raises(UsageError, match="there is no model 'nobody'"):
        table(AliasTarget("nobody"))
