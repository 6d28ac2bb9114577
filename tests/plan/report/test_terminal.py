"""The page for the terminal, as text."""

# ruff: noqa: RUF001 - signs as the pages show them
from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType
from samples import finance, impossible, portfolio, receipts

from pilotage.plan.glossary import entries, explain
from pilotage.plan.report import explanation, portfolio_page, terminal_page


def shown(page: RenderableType, width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, legacy_windows=False).print(page)
    return out.getvalue()


def flat(page: RenderableType, width: int = 100) -> str:
    """The text on one line, however it was wrapped."""
    return " ".join(shown(page, width).split())


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("make", [receipts, finance, impossible], ids=lambda make: make.__name__)
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut(make: object, width: int) -> None:
    assert callable(make)
    text = shown(terminal_page(make()), width)

    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


def test_the_headline_says_what_and_how_much() -> None:
    text = flat(terminal_page(receipts()))

    assert text.startswith("receipts: ✓ 4–7 × g6e.xlarge, awq (ECS on EC2 GPU) $5,488 a month:")
    assert "the cheapest that keeps the SLO, of 412 options judged" in text
    assert "20/s, peak 80/s, spiky; prompt 180/900 and output 60/128 tokens at p50/p99" in text


def test_latencies_stand_against_the_slo_with_interval_and_error() -> None:
    lines = shown(terminal_page(receipts())).splitlines()
    row = next(line.split() for line in lines if line.startswith("TTFT"))

    assert row == ["TTFT", "118", "ms", "196", "ms", "312", "ms", "✓", "400", "ms", "±12%"]
    assert any("287–337 ms" in line for line in lines)


def test_a_missed_promise_is_marked() -> None:
    plan = receipts()
    text = flat(terminal_page(replace(plan, demand=replace(plan.demand, e2e_p99=1.5))))

    assert "✗ 1.5 s" in text


@pytest.mark.parametrize("width", [60, 120])
def test_every_term_shows_formula_and_source(width: int) -> None:
    plan = receipts()
    assert plan.chosen and plan.chosen.estimate and plan.chosen.estimate.memory and plan.chosen.cost
    text = "".join(shown(terminal_page(plan), width).split())
    for term in (*plan.chosen.estimate.memory.terms, *plan.chosen.cost.monthly.terms):
        # Rows that wrap mix their columns: the first words are whole on a line.
        assert "".join(term.formula.split()[:3]) in text
        assert term.source.split(maxsplit=1)[0] in text


def test_the_bar_is_as_wide_as_the_terminal_and_true_to_the_shares() -> None:
    bar = next(line for line in shown(terminal_page(receipts()), 80).splitlines() if "·" in line)

    assert len(bar) == 80
    assert [bar.count(block) for block in "█▓▒░·"] == [12, 4, 2, 56, 6]


def test_reasons_are_one_line_each_with_counts() -> None:
    text = flat(terminal_page(receipts()), 200)

    assert "E2E promise 6 6 × g5.xlarge, awq: p99 would be 2.29 s, promised are 2 s; also" in text
    assert "→ Promise 2.29 s, or let answers be shorter" in text
    assert "price unknown 1 Bedrock provisioned throughput:" in text


def test_the_tree_is_overruled_by_numbers() -> None:
    assert "It says Bedrock on-demand. Overruled: Bedrock on-demand would cost $15,732" in flat(
        terminal_page(receipts())
    )


def test_nothing_fits_names_the_nearest_and_what_to_relax() -> None:
    text = flat(terminal_page(impossible()))

    assert "✗ Nothing fits Nearest is 1 × p5.4xlarge, fp8 (ECS on EC2 GPU):" in text
    assert "Promise 0.8 s, or let answers have 60 tokens at most." in text
    assert "Expected latency" not in text


def test_nothing_near_is_said_too() -> None:
    plan = replace(impossible(), infeasible=(), considered=3)

    assert "No option is near. 3 options were judged." in flat(terminal_page(plan))


@pytest.mark.parametrize("width", [60, 100])
def test_a_portfolio_shows_shares_and_what_has_to_give(width: int) -> None:
    text = flat(portfolio_page(portfolio()), width)

    assert text.startswith("platform: $5,847 of $5,000 a month")
    assert "Nothing fits for receipts-on-a-t4; $847.39 a month over the budget" in text
    assert "$5,488 110%" in text
    assert "saves $1,030" in text


def test_a_portfolio_that_fits_says_what_is_left() -> None:
    whole = portfolio()
    fitting = replace(whole, plans=whole.plans[:2], usd_per_month=20_000, relax=())
    text = flat(portfolio_page(fitting))

    assert "✓ All fit; $14,153 a month is left" in text
    assert "have to give" not in text
    assert "✓ All fit" in flat(portfolio_page(replace(fitting, usd_per_month=None)))


def test_control_characters_in_names_do_not_reach_the_terminal() -> None:
    plan = receipts()
    text = shown(terminal_page(replace(plan, model=replace(plan.model, name="a\x1b[31mb\x07"))))

    assert "\x1b" not in text
    assert "\x07" not in text


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.names[0])
def test_every_term_can_be_shown(entry: object) -> None:
    name = getattr(entry, "names", ("",))[0]
    text = flat(explanation(explain(name)), 60)

    assert text.startswith(" ".join(explain(name).title.split()))
