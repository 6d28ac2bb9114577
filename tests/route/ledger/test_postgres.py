"""The ledger in a real PostgreSQL: the same rows, shared by gateways, through its outages."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_attempts import DAY, KEY, NOON, attempt
from psycopg.conninfo import make_conninfo

from pilotage.errors import StoreError
from pilotage.route.attempt import Outcome, Role
from pilotage.route.ledger import Budgets, Exhausted, Ledger, Reservation, open_ledger
from pilotage.route.ledger.pace import Pace
from pilotage.route.ledger.place import place_of
from pilotage.route.ledger.postgres import PostgresStore
from pilotage.route.ledger.report import report
from pilotage.route.ledger.retention import fold
from pilotage.route.ledger.rows import row_of
from pilotage.route.ledger.schema import POSTGRES_STEPS
from pilotage.route.ledger.sums import spend_since
from pilotage.serve.keys import KeyLimits
from pilotage.spec.routing import LedgerSpec

TODAY = int(NOON // DAY)
QUICK = Pace(batch_s=0.001, refresh_s=0.02, retry_s=0.02, most_retry_s=0.1)


@pytest.fixture
def url(postgres_server: Any) -> Iterator[str]:
    """A database of its own."""
    base = postgres_server.get_uri()
    name = f"t{secrets.token_hex(6)}"
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield base.replace("/postgres?", f"/{name}?")
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(autouse=True)
def home(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTAGE_HOME", str(tmp_path))


def ledger_in(url: str, **changes: Any) -> Ledger:
    place = place_of(None, "URL", {"URL": url})
    fields: dict[str, Any] = {"retention_s": 1e12, "pace": QUICK, "clock": lambda: NOON}
    return Ledger(place.connect, place.spill, **{**fields, **changes})


def ids_in(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM pilotage_attempts")}


def eventually(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_rows_in_are_rows_out(url: str) -> None:
    ledger = open_ledger(LedgerSpec(url_env="URL"), {"URL": url})
    one = attempt(
        at=time.time(),
        cost=Decimal("0.000000000000000001"),
        decision="na\0ïve \ud800 ?%s",
        scores={"judge": 0.5},
        ttft_s=None,
    )
    ledger.record(one)
    ledger.record(one)
    assert ledger.flush()
    ledger.close()
    with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
        (row,) = connection.execute("SELECT * FROM pilotage_attempts").fetchall()
    assert (row["id"], row["cost"], row["ttft_s"]) == (one.id, one.cost, None)
    assert row["decision"] == "na\N{REPLACEMENT CHARACTER}ïve ? ?%s"
    assert row["estimated"] is False
    assert row["scores"] == '{"judge":0.5}'


@settings(max_examples=10, deadline=None)
@given(costs=st.lists(st.decimals("0", "1000", places=18), max_size=30))
def test_sums_are_exact(costs: list[Decimal], postgres_server: Any) -> None:
    store = PostgresStore(postgres_server.get_uri(), psycopg)
    store.query("TRUNCATE pilotage_attempts, pilotage_spend")
    rows = [row_of(attempt(cost=cost)) for cost in costs]
    for _ in range(2):
        store.insert(rows)
    total = int(sum(costs, Decimal(0)).scaleb(18))
    ((found,),) = store.query("SELECT SUM(cost) FROM pilotage_attempts")
    assert store.atto((found,)) == total
    assert sum(spend_since(store, 0).values()) == total
    store.close()


def test_two_gateways_share_a_budget(url: str) -> None:
    one, other = ledger_in(url), ledger_in(url)
    budgets, limits = Budgets(one), KeyLimits(usd_per_day=Decimal(1))
    other.record(attempt(cost=Decimal("0.6")))
    one.record(attempt(cost=Decimal("0.3")))
    eventually(lambda: budgets.spent(KEY, NOON)[0] == Decimal("0.9"))
    assert isinstance(budgets.reserve(KEY, limits, Decimal("0.2"), NOON), Exhausted)
    assert isinstance(budgets.reserve(KEY, limits, Decimal("0.1"), NOON), Reservation)
    for ledger in (one, other):
        eventually(lambda ledger=ledger: ledger.spend.of(KEY, TODAY)[0] == 9 * 10**17)
        ledger.close()


def test_gateways_that_start_at_once_make_the_tables_once(url: str) -> None:
    found: list[Ledger] = []
    threads = [threading.Thread(target=lambda: found.append(ledger_in(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    kept = [attempt() for _ in range(400)]
    for place, one in enumerate(kept):
        found[place % 4].record(one)
        found[(place + 1) % 4].record(one)  # two gateways are told of the same
    for ledger in found:
        assert ledger.flush()
        ledger.close()
    assert ids_in(url) == {one.id for one in kept}
    again = ledger_in(url)
    assert again.spend.of(KEY, TODAY)[0] == 400 * 10**15
    again.close()


def test_an_outage_loses_nothing_and_doubles_nothing(url: str, postgres_server: Any) -> None:
    ledger = ledger_in(url)
    kept = [attempt() for _ in range(600)]
    for one in kept[:200]:
        ledger.record(one)
    # Broken off in whatever it is doing, then gone for a while.
    postgres_server.stop()
    for one in kept[200:400]:
        ledger.record(one)
    eventually(lambda: ledger.state.failing)
    assert not ledger.flush(timeout_s=0.05)
    assert ledger.spend.of(KEY, TODAY)[0] == 400 * 10**15
    postgres_server.ensure_postgres_running()
    for one in kept[400:]:
        ledger.record(one)
    assert ledger.flush()
    assert ids_in(url) == {one.id for one in kept}
    eventually(lambda: not ledger.state.failing)
    assert ledger.spend.of(KEY, TODAY)[0] == 600 * 10**15
    ledger.close()


def test_connections_cut_again_and_again_lose_nothing_and_double_nothing(url: str) -> None:
    ledger = ledger_in(url, pace=Pace(batch_s=0, batch_rows=7, retry_s=0.001, most_retry_s=0.002))
    kept = [attempt() for _ in range(500)]
    with psycopg.connect(url, autocommit=True) as connection:
        for place, one in enumerate(kept):
            ledger.record(one)
            if place % 50 == 25:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'pilotage-ledger' "
                    "AND datname = current_database()"
                )
        assert ledger.flush()
        spent = connection.execute("SELECT SUM(cost) FROM pilotage_spend").fetchone()
    ledger.close()
    assert ids_in(url) == {one.id for one in kept}
    assert spent == (Decimal("0.5"),)


def test_rows_fold_and_the_report_is_the_same(url: str) -> None:
    ledger = ledger_in(url)
    for day in range(4):
        for role in Role:
            ledger.record(
                attempt(
                    at=NOON - day * DAY,
                    request_id=f"q{day}",
                    role=role,
                    key_id=None if day == 2 else KEY,
                    cost=Decimal(day + 1) / 10**7,
                    outcome=Outcome.CANCELLED if role is Role.DRAFT else Outcome.OK,
                )
            )
    assert ledger.flush()
    ledger.close()
    place = place_of(None, "URL", {"URL": url})
    with closing(place.connect()) as store, closing(place.open_to_read()) as reader:
        before = report(reader, NOON - 9.5 * DAY, NOON + 1)
        assert [fold(store, NOON - DAY, 2) for _ in range(3)] == [1, 1, 0]
        after = report(reader, NOON - 9.5 * DAY, NOON + 1)
        with pytest.raises(psycopg.Error, match="read-only"):
            reader.query("DELETE FROM pilotage_attempts")
    assert after.cost == before.cost == Decimal(7 * 10) / 10**7
    assert (after.by_day, after.by_tier, after.by_key) == (
        before.by_day,
        before.by_tier,
        before.by_key,
    )
    assert (before.folded_days, after.folded_days) == (0, 2)
    assert before.savings is not None


def test_a_newer_version_an_older_one_and_none(url: str, postgres_server: Any) -> None:
    with pytest.raises(StoreError, match="no ledger in it"):
        PostgresStore(url, psycopg, read_only=True)
    PostgresStore(url, psycopg).close()
    steps = (*POSTGRES_STEPS, ("ALTER TABLE pilotage_attempts ADD COLUMN later TEXT",))
    for _ in range(2):
        store = PostgresStore(url, psycopg, steps=steps)
        assert store.query("SELECT version FROM pilotage_ledger") == [(2,)]
        store.close()
    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"newer Pilotage.*Upgrade"):
            PostgresStore(url, psycopg, read_only=read_only)


def test_a_database_that_is_not_there_is_said_at_once_and_without_the_password(
    postgres_server: Any,
) -> None:
    url = make_conninfo(postgres_server.get_uri(), password="hunter2", dbname="nowhere")
    with pytest.raises(StoreError, match="does not exist") as caught:
        PostgresStore(url, psycopg)
    assert "hunter2" not in str(caught.value)
