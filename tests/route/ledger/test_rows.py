"""Rows: what goes in comes out, whatever providers and clients say, and money is exact."""

from __future__ import annotations

import json
import sqlite3
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_attempts import KEY, NOON, attempt, ledger_at

from pilotage.route.answer import Usage
from pilotage.route.attempt import Attempt, Outcome, Role
from pilotage.route.ledger.money import atto_of, dollars_of
from pilotage.route.ledger.rows import Row, row_of
from pilotage.route.ledger.sqlite import SqliteStore
from pilotage.route.ledger.sums import spend_since

PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)
ANY = st.text(st.characters(), max_size=250)
COSTS = st.decimals("0", "1000", places=18)


def attempts_of(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Attempt]:
    counts = st.integers(0, 10**9)
    return st.builds(
        Attempt,
        id=st.uuids().map(str),
        request_id=texts,
        at=st.floats(0, 4e9),
        key_id=st.none() | texts,
        role=st.sampled_from(Role),
        tier=texts,
        backend=texts,
        asked_model=texts,
        served_model=texts,
        usage=st.builds(Usage, prompt_tokens=counts, completion_tokens=counts, images=counts),
        cost=COSTS,
        latency_s=st.floats(0, 1e6),
        ttft_s=st.none() | st.floats(0, 1e6),
        outcome=st.sampled_from(Outcome),
        fault=st.none() | texts,
        decision=texts,
        scores=st.dictionaries(texts, st.floats(0, 1), max_size=3),
    )


@settings(max_examples=15, deadline=None)
@given(attempts=st.lists(attempts_of(PLAIN), max_size=20))
def test_rows_in_are_rows_out_and_sums_are_exact(
    attempts: list[Attempt], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rows") / "ledger.sqlite"
    ledger = ledger_at(path)
    for one in attempts:
        ledger.record(one)
        ledger.record(one)  # told twice
    assert ledger.flush()
    ledger.close()
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    found = {row["id"]: dict(row) for row in connection.execute("SELECT * FROM pilotage_attempts")}
    connection.close()
    assert len(found) == len(attempts)
    for one in attempts:
        row = found[one.id]
        cost = Decimal(row["cost_nano"] * 10**9 + row["cost_atto"]).scaleb(-18)
        assert cost == one.cost
        assert row["prompt_tokens"] == one.usage.prompt_tokens
        assert json.loads(row["scores"]) == one.scores
        for name in ("request_id", "at", "key_id", "tier", "served_model", "ttft_s", "fault"):
            assert row[name] == getattr(one, name)
    store = SqliteStore(path, read_only=True)
    spent = spend_since(store, 0)
    ((nano, atto),) = store.query("SELECT SUM(cost_nano), SUM(cost_atto) FROM pilotage_attempts")
    store.close()
    total = sum((one.cost for one in attempts), Decimal(0))
    assert dollars_of(store.atto((nano, atto))) == total
    paid = sum((one.cost for one in attempts if one.key_id is not None), Decimal(0))
    assert dollars_of(sum(spent.values())) == paid


@settings(max_examples=50, deadline=None)
@given(one=attempts_of(ANY))
def test_any_text_becomes_a_row_that_every_database_takes(one: Attempt) -> None:
    row = row_of(one)
    for value in msgspec.structs.astuple(row):
        if isinstance(value, str):
            assert "\0" not in value
            assert value.encode().decode() == value
    assert msgspec.json.decode(msgspec.json.encode(row), type=Row) == row
    assert max(map(len, (row.request_id, row.tier, row.backend))) <= 200


def test_long_names_are_cut_and_still_told_apart() -> None:
    rows = [row_of(attempt(request_id="x" * 5000 + end)) for end in ("a", "b")]
    assert rows[0].request_id != rows[1].request_id
    assert len(rows[0].request_id) <= 200


def test_nonsense_from_a_provider_is_held_within_bounds() -> None:
    row = row_of(
        attempt(
            at=float("nan"),
            usage=Usage(prompt_tokens=10**40, completion_tokens=-5),
            latency_s=float("inf"),
            ttft_s=float("nan"),
            scores={"a": float("nan"), "b": 0.5},
        )
    )
    assert (row.at, row.day) == (0.0, 0)
    assert (row.prompt_tokens, row.completion_tokens) == (10**12, 0)
    assert (row.latency_s, row.ttft_s) == (0.0, 0.0)
    assert json.loads(row.scores) == {"b": 0.5}


@given(amount=COSTS)
def test_money_goes_to_atto_dollars_and_back(amount: Decimal) -> None:
    assert dollars_of(atto_of(amount)) == amount


def test_what_is_finer_than_an_atto_dollar_is_rounded_half_to_even() -> None:
    assert atto_of(Decimal("0.0000000000000000005")) == 0
    assert atto_of(Decimal("0.0000000000000000015")) == 2
    assert atto_of(Decimal(1) / Decimal(3)) == 333_333_333_333_333_333
    with pytest.raises(ValueError, match="not an amount"):
        atto_of(Decimal("NaN"))


def test_an_attempt_with_no_amount_is_lost_loudly_and_stops_no_other(
    tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = ledger_at(tmp_path / "l.sqlite")
    ledger.record(attempt(cost=Decimal("NaN")))
    ledger.record(attempt(cost=Decimal("NaN"), key_id=None))
    ledger.record(attempt(cost=Decimal("0.5")))
    assert ledger.flush()
    assert ledger.spend.of(KEY, int(NOON // 86400))[0] == 5 * 10**17
    assert ledger.state.lost == 1
    assert ledger.state.pending == 0
    assert caplog.text.count("not in the ledger") == 2
    ledger.close()
