"""Reports side by side: ratios, chance, and what makes a comparison unfair."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import msgspec
import pytest
from sample_report import a_report, a_search_report, a_verdict, an_empty_report, some_measures

from pilotage.errors import UsageError
from pilotage.prove.report import (
    Comparison,
    compare,
    comparison_csv,
    comparison_markdown,
    comparison_tables,
    write_comparison,
)
from pilotage.prove.result import Estimate, Report


def three() -> list[Report]:
    first = a_report(name="ours")
    near = a_report(name="near", measures=some_measures(slow=1.03))
    slow = a_report(
        name="theirs",
        measures=some_measures(slow=2.0),
        verdict=a_verdict("missed", slow=2.0),
        max_payload=1024**2,
        max_payload_is_bound=True,
        cold_start=None,
        costs=None,
    )
    return [first, near, slow]


def line(comparison: Comparison, name: str):
    (found,) = [one for one in comparison.lines if one.name == name]
    return found


def test_ratios_are_to_the_first() -> None:
    p99 = line(compare(three()), "TTFT p99")

    assert [entry.ratio for entry in p99.entries] == [
        None,
        pytest.approx(1.03),
        pytest.approx(2.0),
    ]


def test_intervals_that_overlap_cannot_tell_and_others_differ() -> None:
    for name in ("TTFT p50", "TTFT p99", "E2E p90"):
        entries = line(compare(three()), name).entries
        assert [entry.difference for entry in entries] == [None, "cannot_tell", "differs"]


@pytest.mark.parametrize(
    ("low", "high", "difference"),
    [
        (0.1, 0.2, "differs"),  # below 0.323
        (0.5, None, "differs"),  # open above, and begins above 0.421
        (0.4, None, "cannot_tell"),
        (None, 0.3, "differs"),
        (None, 0.35, "cannot_tell"),
        (None, None, "cannot_tell"),
    ],
)
def test_open_intervals_reach_on(low: float | None, high: float | None, difference: str) -> None:
    measures = some_measures()
    assert measures.ttft is not None
    ttft = msgspec.structs.replace(measures.ttft, p99=Estimate(value=0.3, low=low, high=high))
    other = a_report(measures=msgspec.structs.replace(measures, ttft=ttft))

    entries = line(compare([a_report(), other]), "TTFT p99").entries

    assert entries[1].difference == difference


def test_a_measure_that_one_target_lacks_is_a_gap_and_one_that_all_lack_is_left_out() -> None:
    comparison = compare(three())

    assert [entry.value for entry in line(comparison, "Cold start").entries] == [8.4, 8.4, None]
    assert "Highest rate that holds" not in {one.name for one in comparison.lines}
    searched = compare([a_search_report(), a_report()])
    assert [e.value for e in line(searched, "Highest rate that holds").entries] == [25.0, None]


def test_a_bound_is_shown_as_one() -> None:
    (limits,) = [t for t in comparison_tables(compare(three())) if t.name == "limits"]
    largest = next(row for row in limits.plain() if row[0] == "Largest request")

    assert largest[1] == "4 MiB"
    assert largest[3].startswith("at least 1 MiB")


def test_the_same_test_gives_no_warning() -> None:
    assert compare([a_report(name="a"), a_report(name="b")]).warnings == ()


def test_other_tests_are_warned_of() -> None:
    first = a_report(name="a")
    workload = msgspec.structs.replace(first.workload, seed=8, arrivals="constant, 5/s for 60s")
    validity = msgspec.structs.replace(first.validity, valid=False)
    other = a_report(
        name="b", workload=workload, validity=validity, interrupted="Ctrl-C", slo={"ttft_p99": 1.0}
    )

    warnings = compare([first, other]).warnings

    assert len(warnings) == 5
    for part in ("b is invalid", "Ctrl-C", "constant, 5/s", "8, not 7", "ttft_p99 1 s"):
        assert any(part in text for text in warnings), part


def test_targets_with_one_name_are_told_apart() -> None:
    first = a_report()
    other = a_report(target=msgspec.structs.replace(first.target, model="big"))

    assert [side.name for side in compare([first, other]).sides] == [
        "receipts, smollm2-135m-instruct",
        "receipts, big",
    ]
    assert [side.name for side in compare([first, first]).sides] == ["receipts #1", "receipts #2"]


@pytest.mark.parametrize("reports", [[], [a_report()]])
def test_one_report_is_nothing_to_compare(reports: list[Report]) -> None:
    with pytest.raises(UsageError, match="at least two"):
        compare(reports)


def test_an_empty_report_can_be_compared() -> None:
    comparison = compare([an_empty_report(), a_report(name="b")])

    assert line(comparison, "TTFT p99").entries[1].ratio is None
    assert "receipts against b" in comparison_markdown(comparison)


def test_markdown_says_whether_it_is_chance() -> None:
    page = comparison_markdown(compare(three()))

    row = next(text for text in page.splitlines() if text.startswith("| TTFT p99"))
    assert "1.03×, cannot tell" in row  # noqa: RUF001
    assert "✗ 744 ms (2.00×, differs, 645–842 ms)" in row  # noqa: RUF001


def test_the_files_hold_the_same_figures(tmp_path: Path) -> None:
    files = write_comparison(three(), tmp_path / "deep" / "folder")

    assert set(files) == {"json", "csv", "markdown", "html"}
    data = json.loads(files["json"].read_text())
    assert data["schema"] == "pilotage.prove.comparison/1"
    rows = list(csv.DictReader(files["csv"].read_text().splitlines()))
    assert len(rows) == 3 * len(data["lines"])
    (p99,) = [r for r in rows if r["target"] == "theirs" and r["measure"] == "TTFT p99"]
    assert float(p99["value"]) == pytest.approx(some_measures(slow=2.0).ttft.p99.value)  # type: ignore[union-attr]
    assert p99["difference"] == "differs"


def test_csv_names_are_safe_in_a_spreadsheet() -> None:
    text = comparison_csv(compare([a_report(name="=1+1"), a_report(name="b")]))

    assert "'=1+1" in text
    assert "\n=1+1" not in text
