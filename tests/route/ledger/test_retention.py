"""Retention: old rows become sums, and no cent or request is lost or counted twice by that."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_attempts import DAY, KEY, NOON, attempt, ledger_at

from pilotage.route.attempt import Attempt, Outcome, Role
from pilotage.route.ledger.calendar import first_day_of, month_of
from pilotage.route.ledger.pace import Pace
from pilotage.route.ledger.report import report
from pilotage.route.ledger.retention import fold
from pilotage.route.ledger.sqlite import SqliteStore

ATTEMPTS = st.lists(
    st.builds(
        lambda day, request, **fields: attempt(
            at=NOON - day * DAY, request_id=f"q{day}-{request}", **fields
        ),
        st.integers(0, 5),
        st.integers(0, 3),
        key_id=st.sampled_from([KEY, None, "efgh5678"]),
        tier=st.sampled_from(["small", "big"]),
        role=st.sampled_from(Role),
        outcome=st.sampled_from(Outcome),
        cost=st.decimals("0", "1", places=18),
    ),
    max_size=40,
)


@settings(max_examples=15, deadline=None)
@given(attempts=ATTEMPTS, most=st.integers(1, 5), rounds=st.integers(0, 20))
def test_a_report_says_the_same_however_much_has_been_folded(
    attempts: list[Attempt], most: int, rounds: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("fold") / "l.sqlite"
    ledger = ledger_at(path)
    for one in attempts:
        ledger.record(one)
    ledger.close()
    store = SqliteStore(path)
    since, until = NOON - 5.5 * DAY, NOON + DAY  # whole days
    before = report(store, since, until)
    assert before.cost == sum((one.cost for one in attempts), Decimal(0))
    for _ in range(rounds):
        fold(store, NOON - 1.5 * DAY, most)
    after = report(store, since, until)
    ((left,),) = store.query("SELECT COUNT(*) FROM pilotage_attempts WHERE at >= ?", (NOON - DAY,))
    store.close()
    assert left == sum(one.at >= NOON - DAY for one in attempts)
    for name in (
        "requests", "escalated", "attempts", "cost", "by_tier", "by_key", "by_role", "by_day",
        "cancelled_drafts_cost",
    ):  # fmt: skip
        assert getattr(after, name) == getattr(before, name)


def test_old_rows_go_by_themselves_and_what_was_spent_stays(path: Path) -> None:
    pace = Pace(batch_s=0.001, refresh_s=0.01, fold_s=0.01, fold_rows=7)
    ledger = ledger_at(path, retention_s=5 * DAY, pace=pace)
    for day in range(10):
        for place in range(10):
            for role in (Role.ANSWER, Role.JUDGE):
                request = f"q{day}-{place}"
                ledger.record(
                    attempt(
                        at=NOON - day * DAY, request_id=request, role=role, cost=Decimal("0.01")
                    )
                )
    assert ledger.flush()
    store = SqliteStore(path, read_only=True)
    end = time.monotonic() + 20
    while store.query("SELECT COUNT(*) FROM pilotage_attempts") != [(120,)]:
        assert time.monotonic() < end
        time.sleep(0.01)
    found = report(store, NOON - 12 * DAY, NOON + 1)
    store.close()
    assert found.cost == 2
    assert (found.requests, found.folded_days) == (100, 4)
    ledger.close()
    again = ledger_at(path)
    assert again.spend.of(KEY, int(NOON // DAY)) == (20 * 10**16, 200 * 10**16)
    again.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "l.sqlite"


@given(day=st.integers(0, 100_000))
def test_months_hold_their_days(day: int) -> None:
    month = month_of(day)
    assert first_day_of(month) <= day < first_day_of(month + 1)
    assert month_of(first_day_of(month)) == month
