"""Reports: the sums, the savings with their interval, the page and the command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
from ledger_attempts import DAY, KEY, NOON, attempt, ledger_at
from typer.testing import CliRunner

from pilotage.cli import route_report
from pilotage.cli.route_report import report_command
from pilotage.errors import PilotageError, StoreError, UsageError
from pilotage.route.attempt import Attempt, Outcome, Role
from pilotage.route.ledger.report import Report, html_page, report
from pilotage.route.ledger.report.figures import usd
from pilotage.route.ledger.sqlite import SqliteStore

app = typer.Typer()
app.command()(report_command)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def fill(path: Path, attempts: Iterable[Attempt]) -> None:
    ledger = ledger_at(path)
    for one in attempts:
        ledger.record(one)
    assert ledger.flush()
    ledger.close()


def read(path: Path, since: float = NOON - 1.5 * DAY, until: float = NOON + DAY) -> Report:
    store = SqliteStore(path, read_only=True)
    try:
        return report(store, since, until)
    finally:
        store.close()


def one_of_each() -> list[Attempt]:
    """Three requests: answered at once; escalated; a draft broken off and judged."""
    return [
        attempt(request_id="q1", cost=Decimal("0.001")),
        attempt(request_id="q1", role=Role.SHADOW, tier="big", cost=Decimal("0.010")),
        attempt(request_id="q2", role=Role.DRAFT, cost=Decimal("0.002")),
        attempt(request_id="q2", role=Role.JUDGE, tier="big", cost=Decimal("0.003")),
        attempt(request_id="q2", tier="big", cost=Decimal("0.020")),
        attempt(
            request_id="q3",
            at=NOON - DAY,
            key_id=None,
            role=Role.DRAFT,
            outcome=Outcome.CANCELLED,
            cost=Decimal("0.0004"),
        ),
        attempt(
            request_id="q3",
            at=NOON - DAY,
            key_id=None,
            tier="big",
            outcome=Outcome.ERROR,
            cost=Decimal(0),
        ),
        attempt(request_id="q3", at=NOON - DAY, key_id=None, tier="big", cost=Decimal("0.030")),
    ]


def test_sums_by_tier_key_role_and_day(path: Path) -> None:
    fill(path, one_of_each())
    found = read(path)
    assert (found.requests, found.escalated, found.attempts) == (3, 2, 8)
    assert found.escalation_rate == pytest.approx(2 / 3)
    assert found.cost == Decimal("0.0664")
    assert found.overhead_cost == Decimal("0.003")
    assert found.drafts_cost == Decimal("0.0024")
    assert found.cancelled_drafts_cost == Decimal("0.0004")
    assert found.measuring_cost == Decimal("0.010")
    assert [(line.name, line.cost, line.answered, line.errors) for line in found.by_tier] == [
        ("big", Decimal("0.063"), 2, 1),
        ("small", Decimal("0.0034"), 1, 0),
    ]
    assert [(line.name, line.cost) for line in found.by_key] == [
        (KEY, Decimal("0.036")),
        ("-", Decimal("0.0304")),
    ]
    assert {line.name for line in found.by_role} == {"answer", "draft", "judge", "shadow"}
    assert [(one.day, one.requests, one.escalated, one.cost) for one in found.by_day] == [
        (date(2026, 2, 24), 1, 1, Decimal("0.0304")),
        (date(2026, 2, 25), 2, 1, Decimal("0.036")),
        (date(2026, 2, 26), 0, 0, Decimal(0)),
    ]
    later = read(path, since=NOON)
    assert (later.requests, later.cost) == (2, Decimal("0.036"))
    assert read(path, until=NOON).cost == Decimal("0.0304")


def test_savings_are_against_what_the_big_tier_was_measured_to_cost(path: Path) -> None:
    fill(path, one_of_each())
    found = read(path).savings
    assert found is not None
    assert (found.tiers, found.requests, found.sample) == (["big"], 3, 1)
    # Paid: answers, drafts and judge. Big alone: its own answers, and the shadow's for q1.
    assert found.routed_cost == Decimal("0.0564")
    assert found.big_cost == Decimal("0.060")
    assert found.saved == Decimal("0.0036")
    assert found.share == pytest.approx(0.06)
    # One shadow has no spread.
    assert found.saved_low is found.saved_high is found.share_low is None
    assert "Only 1 of the requests" in read(path).savings_note


def shadowed(requests: int, every: int, big_cost: str = "0.01") -> list[Attempt]:
    found = []
    for place in range(requests):
        found.append(attempt(request_id=f"q{place}", cost=Decimal("0.001")))
        if place % every == 0:
            cost = Decimal(big_cost) * (1 + place % 7) / 4
            found.append(attempt(request_id=f"q{place}", role=Role.SHADOW, tier="big", cost=cost))
    return found


def test_a_sample_stands_for_all_with_an_interval_that_holds_the_truth(path: Path) -> None:
    # Were all shadowed, the mean would be 0.01: multiples of 1 to 7 quarters, in turn.
    fill(path, shadowed(700, every=10))
    found = read(path)
    assert found.savings is not None
    savings = found.savings
    assert savings.sample == 70
    assert savings.big_cost == Decimal(7)
    assert savings.saved == Decimal("6.3")
    assert savings.saved_low is not None
    assert savings.saved_high is not None
    assert savings.saved_low < Decimal("6.3") < savings.saved_high
    assert Decimal("5.3") < savings.saved_low < savings.saved_high < Decimal("7.3")
    assert savings.share_low is not None
    assert savings.share_low < 0.9 < (savings.share_high or 0)
    assert found.savings_note == ""
    assert read(path).savings == savings  # drawn alike each time


def test_more_of_the_sample_narrows_the_interval(tmp_path: Path) -> None:
    widths = []
    for every in (50, 5):
        path = tmp_path / f"{every}.sqlite"
        fill(path, shadowed(700, every=every))
        savings = read(path).savings
        assert savings is not None
        assert savings.saved_low is not None
        assert savings.saved_high is not None
        widths.append(savings.saved_high - savings.saved_low)
    assert widths[1] < widths[0] / 2


def test_what_routing_lost_is_said_to_be_lost(path: Path) -> None:
    fill(path, shadowed(40, every=1, big_cost="0.0001"))
    found = read(path)
    assert found.savings is not None
    assert found.savings.saved < 0
    assert "routing lost $0.03" in html_page(found)


@pytest.mark.parametrize(
    "attempts",
    [
        [attempt()],
        [attempt(), attempt(role=Role.SHADOW, tier="big", outcome=Outcome.ERROR)],
        # A shadow of a request that nobody got an answer to.
        [
            attempt(request_id="x"),
            attempt(request_id="y", outcome=Outcome.ERROR),
            attempt(request_id="y", role=Role.SHADOW, tier="big"),
        ],
    ],
)
def test_without_a_shadow_sample_nothing_is_claimed(attempts: list[Attempt], path: Path) -> None:
    fill(path, attempts)
    found = read(path)
    assert found.savings is None
    assert "no request of this time was shadowed" in found.savings_note


def test_an_empty_ledger_has_a_report_and_a_page(path: Path) -> None:
    fill(path, [])
    found = read(path)
    assert (found.requests, found.cost, found.escalation_rate) == (0, 0, None)
    assert "not known" in html_page(found)


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_the_page_needs_nothing_but_itself_and_shows_names_as_text(path: Path) -> None:
    evil = "<script>alert(1)</script>"
    fill(path, [*one_of_each(), attempt(tier=evil, key_id=evil)])
    text = html_page(read(path))
    page = Page(text)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in {"src", "href", "style"}]
    assert "url(" not in text
    assert "&lt;script&gt;" in text
    assert "prefers-color-scheme: dark" in text
    # A bar a day and tier that cost something: the 24th two, the 25th three.
    assert page.tags.count("rect") == 5
    assert page.tags.count("table") == 4


def run(*args: str, path: Path | None):
    where = [] if path is None else ["--ledger", str(path)]
    return CliRunner().invoke(app, [*where, *args])


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_report.time, "time", lambda: NOON + 1)


@pytest.mark.usefixtures("at_noon")
def test_the_command_prints_tables(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    fill(path, one_of_each())
    result = run(path=path)
    assert result.exit_code == 0, result.output
    said = re.sub(r" +", " ", result.stdout)
    assert "Spent $0.0664 8 attempts" in said
    assert "Escalation rate 66.7 %" in said
    assert "Saved 6.0 %" in said
    assert "By tier" in said
    assert "2026-02-24 1 1 $0.0300 $0.000400 $0.0304" in said
    # Since midnight, so that a day is a whole one.
    assert "2026-02-18 00:00 to 2026-02-25 12:00 UTC" in said


@pytest.mark.usefixtures("at_noon")
def test_amounts_are_whole_on_a_narrow_screen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    fill(path, one_of_each())
    said = re.sub(r" +", " ", run(path=path).stdout)
    assert "…" not in said
    assert "2026-02-24 1 1 $0.0300 $0.000400 $0.0304" in said


@pytest.mark.usefixtures("at_noon")
def test_the_command_as_json_is_exact(path: Path) -> None:
    fill(path, [attempt(cost=Decimal("0.000000000000000001")), attempt(cost=Decimal(100))])
    result = run("--json", "--since", "1h", path=path)
    found = json.loads(result.stdout)
    assert found["cost"] == "100.000000000000000001"
    assert found["by_day"][0]["by_tier"] == {"small": "100.000000000000000001"}
    assert found["savings"] is None
    assert found["since"] == "2026-02-25T11:00:01Z"
    assert [line["cost"] for line in found["by_tier"]] == ["100.000000000000000001"]


@pytest.mark.usefixtures("at_noon")
def test_the_command_writes_a_page(path: Path, tmp_path: Path) -> None:
    fill(path, one_of_each())
    page = tmp_path / "report.html"
    assert f"page: {page}" in run("--html", str(page), path=path).stdout.replace("\n", "")
    assert page.read_text().startswith("<!doctype html>")
    result = run("--html", str(tmp_path / "no" / "x.html"), path=path)
    assert isinstance(result.exception, StoreError)


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ([], StoreError),
        (["--since", "soon"], UsageError),
        (["--ledger-env", "NO_SUCH_VARIABLE"], UsageError),
    ],
)
def test_wrong_arguments_are_errors_and_make_no_file(
    args: list[str], error: type[PilotageError], path: Path
) -> None:
    result = run(*args, path=path)
    assert isinstance(result.exception, error)
    assert isinstance(result.exception, PilotageError)
    assert result.exception.where
    assert not path.exists()


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "$0.00"), ("1234.5", "$1,234.50"), ("0.5", "$0.500"), ("-0.0000123", "-$0.0000123"),
        ("0.000000000000000001", "$0.000000000000"),
    ],
)  # fmt: skip
def test_amounts_read_well(amount: str, shown: str) -> None:
    assert usd(Decimal(amount)) == shown
