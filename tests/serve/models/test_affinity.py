"""Prefix affinity against the plain definition: the longest common beginning, in whole blocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pilotage.serve.models.affinity import BLOCK, PrefixAffinity, block_hashes

# Prompts made of few different blocks, so that beginnings are shared.
prompts = st.lists(st.integers(0, 2), max_size=6).flatmap(
    lambda blocks: st.integers(0, BLOCK - 1).map(
        lambda rest: [token for block in blocks for token in [block] * BLOCK] + [9] * rest
    )
)


def common_blocks(one: list[int], other: list[int]) -> int:
    blocks = 0
    while (end := (blocks + 1) * BLOCK) <= min(len(one), len(other)) and one[:end] == other[:end]:
        blocks += 1
    return blocks


@given(st.lists(st.tuples(prompts, st.sampled_from("abc")), max_size=12), prompts)
def test_the_replica_that_last_had_the_longest_beginning(
    given_before: list[tuple[list[int], str]], prompt: list[int]
) -> None:
    affinity: PrefixAffinity[str] = PrefixAffinity()
    for earlier, replica in given_before:
        affinity.given(block_hashes(earlier), replica)
    longest = max((common_blocks(earlier, prompt) for earlier, _ in given_before), default=0)
    expected = None
    for earlier, replica in given_before:
        if longest and common_blocks(earlier, prompt) == longest:
            expected = replica
    assert affinity.find(block_hashes(prompt)) == expected


@given(st.lists(st.tuples(prompts, st.sampled_from("abc")), max_size=20), st.integers(1, 5))
def test_what_is_kept_is_bounded_and_a_beginning_outlives_its_end(
    given_before: list[tuple[list[int], str]], remembered: int
) -> None:
    affinity: PrefixAffinity[str] = PrefixAffinity(remembered)
    for prompt, replica in given_before:
        hashes = block_hashes(prompt)
        affinity.given(hashes, replica)
        assert len(affinity) <= remembered
        if hashes:
            assert affinity.find(hashes[:1]) == replica


@given(st.lists(st.tuples(prompts, st.sampled_from("ab")), max_size=12))
def test_a_replica_that_is_gone_is_never_found(given_before: list[tuple[list[int], str]]) -> None:
    affinity: PrefixAffinity[str] = PrefixAffinity()
    for prompt, replica in given_before:
        affinity.given(block_hashes(prompt), replica)
    affinity.forget("a")
    assert {affinity.find(block_hashes(prompt)) for prompt, _ in given_before} <= {"b", None}


def test_very_long_prompts_are_looked_at_up_to_a_bound() -> None:
    assert block_hashes(list(range(BLOCK * 200))) == block_hashes(list(range(BLOCK * 128)))
    assert len(block_hashes(list(range(BLOCK * 200)))) == 128
    assert block_hashes([1] * (BLOCK - 1)) == ()
