"""The refreshed book on the disk."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.catalog.prices import Price, StoredBook, book_path, read_book, write_book
from pilotage.errors import SpecError, StoreError, UsageError

DAY = date(2026, 11, 22)


@given(
    amounts=st.dictionaries(
        st.sampled_from(["g5.xlarge", "g5.xlarge:spot", "ml.g5.xlarge", "alb:hour"]),
        st.decimals(min_value=0, max_value=1000, allow_nan=False, places=12),
    ),
    offered=st.none() | st.frozensets(st.sampled_from(["g5.xlarge", "p5.48xlarge"])),
)
def test_a_book_comes_back_as_it_was_written(
    amounts: dict[str, Decimal],
    offered: frozenset[str] | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("home")
    units = {"alb:hour": "USD/h"}
    prices = {
        name: Price(
            amount=amount,
            unit=units.get(name, "USD/h"),
            source="test",
            date=DAY,
            region="eu-west-1",
        )
        for name, amount in amounts.items()
    }
    book = StoredBook(region="eu-west-1", date=DAY, prices=prices, offered=offered)
    write_book(home, book)
    assert read_book(home, "eu-west-1") == book


def test_writing_leaves_nothing_but_the_book(tmp_path: Path) -> None:
    book = StoredBook(region="eu-west-1", date=DAY)
    for _ in range(2):
        path = write_book(tmp_path, book)
    assert path == book_path(tmp_path, "eu-west-1")
    assert list(path.parent.iterdir()) == [path]


def test_a_home_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "prices").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        write_book(tmp_path, StoredBook(region="eu-west-1", date=DAY))


def test_a_region_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no AWS region"):
        read_book(tmp_path, "../../etc")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 5000,
        json.dumps({"schema": "pilotage.prices/2", "region": "eu-west-1"}),
        json.dumps(
            {
                "schema": "pilotage.prices/1",
                "region": "eu-west-2",
                "date": "2026-11-22",
                "offered": None,
                "prices": {},
            }
        ),
        json.dumps(
            {
                "schema": "pilotage.prices/1",
                "region": "eu-west-1",
                "date": "2026-11-22",
                "offered": None,
                "prices": {"g5.xlarge": {"amount": "-1", "source": "x"}},
            }
        ),
    ],
)
def test_a_damaged_book_says_how_to_mend_it(tmp_path: Path, text: str) -> None:
    path = book_path(tmp_path, "eu-west-1")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(SpecError, match="catalog refresh"):
        read_book(tmp_path, "eu-west-1")
