"""Which database a ledger is in, and how to get there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pilotage.errors import UsageError
from pilotage.fetch import default_home
from pilotage.route.ledger.opening import opened
from pilotage.route.ledger.postgres import PostgresStore, psycopg_driver, shown_name
from pilotage.route.ledger.sqlite import SqliteStore
from pilotage.route.ledger.store import Store


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ledger is.

    Attributes:
        connect: Opens it to write.
        read: The same to read only; it has to be there.
        spill: Path beside which rows wait on disk.
    """

    connect: Callable[[], Store]
    read: Callable[[], Store]
    spill: Path

    def open_to_read(self) -> Store:
        """Open it to read, waiting a while for one that is busy.

        Raises:
            StoreError: It cannot be opened.
        """
        return opened(self.read)


def place_of(path: Path | None, url_env: str | None, environ: Mapping[str, str]) -> Place:
    """The place that a spec, or a command, names.

    Args:
        path: A SQLite file; ``ledger.sqlite`` in Pilotage's home if neither is given.
        url_env: Or the variable that holds a PostgreSQL address.
        environ: Where that variable is.

    Raises:
        UsageError: The variable is not set or holds no PostgreSQL address, both a path and a
            variable are given, or psycopg is missing.
    """
    if url_env is None:
        file = (path or default_home() / "ledger.sqlite").expanduser()
        return Place(lambda: SqliteStore(file), lambda: SqliteStore(file, read_only=True), file)
    if path is not None:
        raise UsageError("a ledger is a file or a database, not both", where="ledger")
    url = environ.get(url_env, "").strip()
    if not url.startswith(("postgresql://", "postgres://")):
        # Never the value: it holds a password.
        state = "holds no postgresql:// address" if url else "is not set"
        raise UsageError(
            f"the environment variable {url_env} {state}",
            where="ledger",
            hint=f"Set {url_env}=postgresql://user:password@host:5432/database.",
        )
    driver = psycopg_driver()
    shown = shown_name(url, driver)
    digest = hashlib.blake2b(shown.encode(), digest_size=6).hexdigest()
    return Place(
        lambda: PostgresStore(url, driver),
        lambda: PostgresStore(url, driver, read_only=True),
        default_home() / f"ledger-{digest}.postgres",
    )
