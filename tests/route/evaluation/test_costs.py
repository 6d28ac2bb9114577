"""Costs of queries: characters / 4, at the prices of input and output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from pilotage.route.evaluation import Matrix, ModelPrice
from pilotage.route.evaluation.costs import (
    JUDGE_INSTRUCTIONS,
    JUDGE_TOKENS,
    actual_costs,
    answer_tokens,
    expected_costs,
    judge_costs,
)

_PRICES = (
    ModelPrice(Decimal(1), Decimal(2), "test"),
    ModelPrice(Decimal(10), Decimal(30), "test"),
)


def test_prompts_and_answers_at_their_prices(make_matrix: Callable[..., Matrix]) -> None:
    one = make_matrix(1, 1)
    bare = replace(one, prompts=("x" * 400,))
    assert actual_costs(bare, _PRICES)[0] == pytest.approx([100e-6, 1000e-6])
    full = replace(bare, answers=(("y" * 40,), ("z" * 80,)))
    assert actual_costs(full, _PRICES)[0] == pytest.approx([120e-6, 1600e-6])
    half = replace(bare, answers=(("y" * 40,), None))
    # A model whose answers are not there is taken to say as much as the others.
    assert actual_costs(half, _PRICES)[0] == pytest.approx([120e-6, 1300e-6])


def test_beforehand_nothing_is_known_of_the_answers_themselves(
    make_matrix: Callable[..., Matrix],
) -> None:
    fit, test = (make_matrix(40, seed, answers=True) for seed in (1, 2))
    said = expected_costs(test, _PRICES, fit)
    other = replace(test, answers=tuple(("other",) * 40 for _ in test.models))
    assert (expected_costs(other, _PRICES, fit) == said).all()
    assert said.mean(axis=0) == pytest.approx(actual_costs(test, _PRICES).mean(axis=0), rel=0.2)


def test_without_answers_beforehand_is_what_it_costs(make_matrix: Callable[..., Matrix]) -> None:
    fit, test = make_matrix(40, 1), make_matrix(40, 2)
    assert (expected_costs(test, _PRICES, fit) == actual_costs(test, _PRICES)).all()


def test_a_judge_reads_the_prompt_the_answer_and_what_it_is_told(
    make_matrix: Callable[..., Matrix],
) -> None:
    one = replace(make_matrix(1, 1), prompts=("x" * 400,), answers=(("y" * 40,), None))
    cost = judge_costs(one, _PRICES[1], answer_tokens(one)[:, 0])
    expected = (100 + 10 + JUDGE_INSTRUCTIONS) * 10 + JUDGE_TOKENS * 30
    assert cost == pytest.approx([expected / 1e6])
