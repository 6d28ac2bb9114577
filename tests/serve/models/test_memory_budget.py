"""Who has to leave: there is room afterwards, and nobody leaves in vain."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pilotage.serve.models.memory_budget import choose_victims

models = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 50))


@given(models, st.data(), st.integers(0, 200), st.integers(0, 100))
def test_there_is_room_afterwards_and_nobody_leaves_in_vain(
    held: dict[str, int], data: st.DataObject, budget: int, needed: int
) -> None:
    idle = data.draw(st.permutations(sorted(held))) if held else []
    idle = idle[: data.draw(st.integers(0, len(idle)))]
    victims = choose_victims(budget=budget, held=held, needed=needed, idle=idle)
    used = sum(held.values())
    if victims is None:
        assert used - sum(held[name] for name in idle) + needed > budget
        return
    left = used - sum(held[name] for name in victims)
    assert left + needed <= budget
    assert len(set(victims)) == len(victims)
    assert set(victims) <= set(idle)
    for spared in victims:  # without any one of them it would not fit
        assert left + held[spared] + needed > budget
    if used + needed <= budget:
        assert victims == ()


def test_the_least_recently_used_goes_first() -> None:
    held = {"old": 10, "middle": 10, "new": 10}
    assert choose_victims(budget=30, held=held, needed=5, idle=["old", "middle", "new"]) == ("old",)
    both = choose_victims(budget=30, held=held, needed=15, idle=["old", "middle", "new"])
    assert both == ("old", "middle")


def test_a_small_one_stays_when_a_big_one_has_to_go_anyway() -> None:
    held = {"small": 5, "big": 30}
    assert choose_victims(budget=40, held=held, needed=30, idle=["small", "big"]) == ("big",)
