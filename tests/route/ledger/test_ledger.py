"""The ledger in a SQLite file: it never waits, loses nothing, and says what it cannot read."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_attempts import DAY, KEY, NOON, attempt, ledger_at

from pilotage.errors import StoreError, UsageError
from pilotage.route.ledger import open_ledger
from pilotage.route.ledger.pace import Pace
from pilotage.route.ledger.schema import SQLITE_STEPS
from pilotage.route.ledger.sqlite import SqliteStore
from pilotage.spec.routing import LedgerSpec

HERE = Path(__file__).parent
TODAY = int(NOON // DAY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "ledger.sqlite"


def ids_in(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT id FROM pilotage_attempts").fetchall()
    connection.close()
    return {row[0] for row in rows}


def spills(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.spill"))


def eventually(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_what_is_flushed_is_there_for_its_owner_alone(path: Path) -> None:
    ledger = open_ledger(LedgerSpec(path=path), {})
    kept = [attempt(at=time.time()) for _ in range(5)]
    for one in kept:
        ledger.record(one)
    assert ledger.flush()
    assert ids_in(path) == {one.id for one in kept}
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    ledger.close()
    assert spills(path) == []


def test_without_a_path_it_is_in_pilotages_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILOTAGE_HOME", str(tmp_path))
    open_ledger(LedgerSpec(), {}).close()
    assert (tmp_path / "ledger.sqlite").is_file()


def test_record_returns_while_the_file_is_locked_and_nothing_is_lost(path: Path) -> None:
    ledger = ledger_at(path, pace=Pace(batch_s=0.001, retry_s=0.01, most_retry_s=0.02))
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    kept = [attempt() for _ in range(500)]
    for one in kept:
        ledger.record(one)
    # All were taken, and not one can have been written.
    assert ledger.state.pending == 500
    assert not ledger.flush(timeout_s=0.05)
    assert ledger.spend.of(KEY, TODAY)[0] == 5 * 10**17
    eventually(lambda: ledger.state.failing)
    locker.execute("ROLLBACK")
    locker.close()
    assert ledger.flush()
    assert ids_in(path) == {one.id for one in kept}
    eventually(lambda: not ledger.state.failing)
    ledger.close()


def test_beyond_its_memory_rows_go_to_a_file_and_from_there_to_the_ledger(path: Path) -> None:
    pace = Pace(
        batch_s=0.001,
        retry_s=0.01,
        most_retry_s=0.02,
        memory_rows=50,
        batch_rows=20,
        refresh_s=0.01,
    )
    ledger = ledger_at(path, pace=pace)
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    kept = [attempt() for _ in range(400)]
    for one in kept:
        ledger.record(one)
    eventually(lambda: ledger.state.spilled >= 300)
    assert stat.S_IMODE(spills(path)[0].stat().st_mode) == 0o600
    locker.execute("ROLLBACK")
    locker.close()
    assert ledger.flush()
    assert ids_in(path) == {one.id for one in kept}
    assert spills(path) == []
    assert ledger.state.spilled == ledger.state.pending == ledger.state.lost == 0
    # Counted once, whichever way a row went.
    written = ledger.spend.of(KEY, TODAY)[0]
    ledger.record(attempt(cost=Decimal(0)))
    assert ledger.flush()
    assert written == ledger.spend.of(KEY, TODAY)[0] == 400 * 10**15
    ledger.close()


def test_what_the_database_refuses_at_the_end_is_there_after_the_next_opening(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = ledger_at(path)
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    kept = [attempt(decision="a secret prompt") for _ in range(30)]
    for one in kept:
        ledger.record(one)
    ledger.close(timeout_s=0.2)
    assert not ledger.flush()  # at once: nothing more will come
    late = attempt()
    ledger.record(late)
    locker.execute("ROLLBACK")
    locker.close()
    assert ids_in(path) == set()
    assert len(spills(path)) == 2
    assert "wait in a file" in caplog.text
    assert "secret" not in caplog.text
    # The last line of a process that was killed as it wrote.
    with spills(path)[0].open("ab") as file:
        file.write(b'["torn')
    again = ledger_at(path)
    eventually(lambda: len(ids_in(path)) == 31)
    again.close()
    assert ids_in(path) == {one.id for one in (*kept, late)}
    assert spills(path) == []


def test_only_beyond_the_last_bound_rows_are_lost_and_counted(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace = Pace(
        batch_s=0.001,
        batch_rows=20,
        retry_s=0.01,
        most_retry_s=0.02,
        memory_rows=10,
        most_rows=100,
    )
    ledger = ledger_at(path, pace=pace)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(os, "fsync", full)
    for _ in range(150):
        ledger.record(attempt())
    eventually(lambda: "nor the file beside it" in caplog.text)
    for _ in range(150):
        ledger.record(attempt())
    eventually(lambda: ledger.state.lost >= 100)
    assert ledger.state.pending + ledger.state.lost == 300
    assert ledger.state.spilled == 0
    monkeypatch.undo()
    locker.execute("ROLLBACK")
    locker.close()
    assert ledger.flush()
    assert len(ids_in(path)) == 300 - ledger.state.lost
    ledger.close()


WRITER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from ledger_attempts import attempt, ledger_at
ledger = ledger_at(Path(sys.argv[2]))
number = 0
while True:
    for _ in range(50):
        ledger.record(attempt(id=f"{sys.argv[3]}-{number}"))
        number += 1
    assert ledger.flush()
    print(number, flush=True)
"""


def writer(path: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(HERE), str(path), name],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_killed_writers_flushed_rows_are_there_and_two_processes_share_a_file(
    path: Path,
) -> None:
    children = {name: writer(path, name) for name in ("one", "two")}
    flushed = {}
    for name, child in children.items():
        assert child.stdout is not None
        for _ in range(5):
            flushed[name] = int(child.stdout.readline())
    for child in children.values():
        child.send_signal(signal.SIGKILL)
    for name, child in children.items():
        rest = child.communicate(timeout=30)[0].split()
        flushed[name] = int(rest[-1]) if rest else flushed[name]
    ledger = ledger_at(path)
    found = ids_in(path)
    for name, number in flushed.items():
        assert {f"{name}-{n}" for n in range(number)} <= found
    # Whatever else got in is spent too, and no more than that.
    assert ledger.spend.of(KEY, TODAY)[0] == len(found) * 10**15
    ledger.record(attempt())
    assert ledger.flush()
    ledger.close()


def test_many_threads_record_at_once(path: Path) -> None:
    ledger = ledger_at(path)
    kept = [[attempt() for _ in range(200)] for _ in range(8)]
    threads = [
        threading.Thread(target=lambda part=part: [ledger.record(one) for one in part])
        for part in kept
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.flush()
    assert len(ids_in(path)) == 1600
    assert ledger.spend.of(KEY, TODAY) == (1600 * 10**15, 1600 * 10**15)
    ledger.close()


def test_spend_of_other_processes_is_picked_up(path: Path) -> None:
    one, other = ledger_at(path), ledger_at(path)
    other.record(attempt(cost=Decimal("0.25")))
    one.record(attempt(cost=Decimal("0.5")))
    for ledger in (one, other):
        eventually(lambda ledger=ledger: ledger.spend.of(KEY, TODAY)[0] == 75 * 10**16)
        ledger.close()
    # Not on another day of the month, but in the month.
    again = ledger_at(path)
    assert again.spend.of(KEY, TODAY + 1) == (0, 75 * 10**16)
    assert again.spend.of("zzzz0000", TODAY) == (0, 0)
    again.close()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not a database at all, but long enough to look at", "not a SQLite database"),
        (b"SQLite format 3\0" + b"\xff" * 4000, "cannot be used"),
    ],
)
def test_garbage_is_refused_and_left_as_it_is(path: Path, content: bytes, said: str) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError, match=said):
        open_ledger(LedgerSpec(path=path), {})
    assert path.read_bytes() == content


def test_a_truncated_ledger_is_refused(path: Path) -> None:
    ledger = ledger_at(path)
    for _ in range(500):
        ledger.record(attempt())
    ledger.close()
    path.write_bytes(path.read_bytes()[: 3 * 4096 + 100])
    with pytest.raises(StoreError, match=r"malformed|cannot be"):
        open_ledger(LedgerSpec(path=path), {})


def test_another_programs_database_is_refused_and_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program's"):
        open_ledger(LedgerSpec(path=path), {})
    assert path.read_bytes() == before


def test_a_newer_version_is_refused_with_what_to_do(path: Path) -> None:
    ledger_at(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE pilotage_ledger SET version = 99")
    connection.commit()
    connection.close()
    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"newer Pilotage.*Upgrade"):
            SqliteStore(path, read_only=read_only)


def test_an_older_version_is_migrated_and_keeps_its_rows(path: Path) -> None:
    ledger = ledger_at(path)
    ledger.record(attempt(id="old"))
    ledger.close()
    steps = (*SQLITE_STEPS, ("ALTER TABLE pilotage_attempts ADD COLUMN later TEXT DEFAULT 'x'",))
    for _ in range(2):
        store = SqliteStore(path, steps=steps)
        assert store.query("SELECT id, later FROM pilotage_attempts") == [("old", "x")]
        assert store.query("SELECT version FROM pilotage_ledger") == [(2,)]
        store.close()


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    ledger_at(path).close()
    bad = ("ALTER TABLE pilotage_attempts ADD COLUMN later TEXT", "SELECT nonsense FROM nowhere")
    with pytest.raises(StoreError, match="nowhere"):
        SqliteStore(path, steps=(*SQLITE_STEPS, bad))
    store = SqliteStore(path)
    columns = {row[1] for row in store.query("PRAGMA table_info(pilotage_attempts)")}
    store.close()
    assert "later" not in columns


def test_reading_makes_no_file_and_needs_a_ledger(path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        SqliteStore(path, read_only=True)
    assert not path.exists()
    path.parent.mkdir()
    path.touch()
    with pytest.raises(StoreError, match="nothing in it"):
        SqliteStore(path, read_only=True)
    with pytest.raises(StoreError, match="not a file"):
        SqliteStore(path.parent)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "LEDGER_URL is not set"),
        ({"LEDGER_URL": "mysql://u:hunter2@h/db"}, "no postgresql:// address"),
        ({"LEDGER_URL": "postgresql://u:hunter2@h:port/db"}, "not a PostgreSQL address"),
        ({"LEDGER_URL": "postgresql://u:hunter2@[::1/db"}, "not a PostgreSQL address"),
    ],
)
def test_an_address_that_is_none_is_refused_without_being_shown(
    environ: dict[str, str], said: str
) -> None:
    with pytest.raises((UsageError, StoreError), match=said) as caught:
        open_ledger(LedgerSpec(url_env="LEDGER_URL"), environ)
    assert "hunter2" not in str(caught.value)


def test_without_psycopg_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UsageError, match=r"pip install 'pilotage\[postgres\]'"):
        open_ledger(LedgerSpec(url_env="U"), {"U": "postgresql://u:p@h/db"})


def test_a_file_and_a_database_at_once_are_refused(path: Path) -> None:
    with pytest.raises(UsageError, match="not both"):
        open_ledger(LedgerSpec(path=path, url_env="U"), {"U": "postgresql://u:p@h/db"})


@pytest.mark.parametrize("moved", [True, False])
def test_a_file_that_is_taken_away_is_begun_anew(path: Path, moved: bool) -> None:
    ledger = ledger_at(path)
    ledger.record(attempt(id="before"))
    assert ledger.flush()
    away = path.with_name("away.sqlite")
    if moved:
        path.rename(away)
    else:
        path.unlink()
    ledger.record(attempt(id="after"))
    assert ledger.flush()
    ledger.close()
    assert ids_in(path) == {"after"}


def test_an_outage_is_logged_once_each_way(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    ledger = ledger_at(path, busy_s=0.01)
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    ledger.record(attempt())
    assert not ledger.flush(timeout_s=0.3)
    locker.execute("ROLLBACK")
    locker.close()
    assert ledger.flush()
    ledger.close()
    assert caplog.text.count("cannot be written now") == 1
    assert caplog.text.count("can be written again") == 1
