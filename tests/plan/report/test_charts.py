"""The charts as data and as SVG: scales, the front, what a distribution says."""

# ruff: noqa: RUF001 - signs as the pages show them
from __future__ import annotations

import math
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import finance, impossible, receipts

from pilotage.plan.report.charts import (
    distribution_charts,
    pareto_chart,
    pareto_front,
    sensitivity_charts,
    share_within,
)
from pilotage.plan.report.memory_bar import memory_parts
from pilotage.plan.report.memory_chart import memory_chart
from pilotage.plan.report.svg import Scale, around, element
from pilotage.plan.result import Curve, ParetoPoint

positive = st.floats(min_value=1e-9, max_value=1e12)
points = st.builds(
    ParetoPoint,
    label=st.just("one"),
    strategy=st.just("ecs-gpu"),
    usd_per_month=positive,
    e2e_p99_s=positive,
    feasible=st.booleans(),
)


@given(values=st.lists(positive, min_size=1), kind=st.sampled_from(["linear", "log"]))
def test_a_scale_keeps_all_values_within_and_in_order(values: list[float], kind: str) -> None:
    scale = around(values, 10, 500, "log" if kind == "log" else "linear")
    places = [scale(value) for value in sorted(values)]

    assert places == sorted(places)
    assert all(10 <= place <= 500 for place in places)


@given(low=positive, factor=st.floats(min_value=1.01, max_value=1e9), most=st.integers(3, 10))
def test_ticks_are_few_and_within(low: float, factor: float, most: int) -> None:
    for kind in ("linear", "log"):
        scale = Scale(low, low * factor, 0, 100, "log" if kind == "log" else "linear")
        ticks = scale.ticks(most)
        assert all(low * 0.998 <= tick <= low * factor * 1.002 for tick in ticks)
        # Where even one tick a power of ten is too many there are as many as powers.
        assert len(ticks) <= max(most + 1, math.log10(factor) + 2)


def test_a_log_scale_within_a_decade_has_even_ticks() -> None:
    assert Scale(48_000, 120_000, 0, 1, "log").ticks(5) == [60_000, 80_000, 100_000, 120_000]
    assert Scale(0.7, 40, 0, 1, "log").ticks(6) == [1, 2, 5, 10, 20]


@given(found=st.lists(points))
def test_nothing_beats_the_front_and_the_rest_is_beaten(found: list[ParetoPoint]) -> None:
    front = pareto_front(found)
    feasible = [one for one in found if one.feasible]

    assert all(one.feasible for one in front)
    for one in feasible:
        assert any(
            other.usd_per_month <= one.usd_per_month and other.e2e_p99_s <= one.e2e_p99_s
            for other in front
        )
    for one in front:
        assert not any(
            other.usd_per_month < one.usd_per_month and other.e2e_p99_s < one.e2e_p99_s
            for other in feasible
        )


def test_a_distribution_is_read_between_its_points() -> None:
    curve = Curve(metric="e2e", points=((1.0, 0.5), (2.0, 0.9)))

    assert [share_within(curve, at) for at in (0.5, 1.0, 1.5, 2.0, 9.0)] == pytest.approx(
        [0.25, 0.5, 0.7, 0.9, 0.9]
    )


def test_a_point_is_drawn_for_every_option_with_a_price() -> None:
    tree = ET.fromstring(str(pareto_chart(receipts())).partition("<ul")[0])
    titles = [title.text or "" for title in tree.iter("title")]

    assert len(titles) == len(receipts().pareto) == 14
    assert sum("does not do" in title for title in titles) == 7
    assert titles[-1].startswith("4 x g6e.xlarge\n")  # on top of all others


def test_each_row_of_sensitivity_tells_itself() -> None:
    drawn = str(sensitivity_charts(receipts(), "load"))
    cost = ET.fromstring(drawn[: drawn.index("</figure>") + len("</figure>")])
    titles = [title.text for title in cost.iter("title")]

    assert titles[0] == "0.25× the load\n2 x g6e.xlarge\n$2,745"
    assert titles[-1] == "4× the load\nabove the budget of $14,000"
    assert "overloaded" in drawn


def test_memory_that_does_not_suffice_shows_where_it_ends() -> None:
    miss = replace(impossible(), infeasible=impossible().infeasible[:1])
    drawn = str(memory_chart(miss))

    assert 'class="end"' in drawn
    assert "(nearest miss)" in drawn


def test_the_bar_is_whole() -> None:
    for plan in (receipts(), impossible()):
        for option in (*plan.runners_up, *plan.infeasible):
            parts = memory_parts(option)
            assert not parts or sum(part.share for part in parts) == pytest.approx(1)


def test_without_figures_there_is_no_chart() -> None:
    plan = finance()

    assert pareto_chart(plan) is None
    assert memory_chart(replace(plan, runners_up=())) is None
    assert sensitivity_charts(plan, "load") is None
    assert distribution_charts(plan) is None


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_text_and_attributes_are_escaped(text: str) -> None:
    made = ET.fromstring(str(element("text", text, class_=text)))

    assert (made.text or "") == text
    assert made.get("class") == text
