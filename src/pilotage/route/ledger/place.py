"""Which database a ledger is in, and how to get there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pilotage.errors import UsageError
from pilotage.fetch import default_home
from pilotage.route.ledger.postgres import PostgresStore, psycopg_driver, shown_name
from pilotage.route.ledger.sqlite import SqliteStore
from pilotage.route.ledger.store import Store
from pilotage.spec.routing import LedgerSpec


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ledger is.

    Attributes:
        connect: Opens it to write.
        read: Opens it to read; it has to be there.
        spill: Path beside which rows wait on disk.
    """

    connect: Callable[[], Store]
    read: Callable[[], Store]
    spill: Path


def place_of(spec: LedgerSpec, environ: Mapping[str, str]) -> Place:
    """The place that a spec names.

    Raises:
        UsageError: The variable is not set or holds no PostgreSQL address, both a path and a
            variable are given, or psycopg is missing.
    """
    if spec.url_env is None:
        path = (Path(spec.path) if spec.path else default_home() / "ledger.sqlite").expanduser()
        return Place(lambda: SqliteStore(path), lambda: SqliteStore(path, read_only=True), path)
    if spec.path is not None:
        raise UsageError("give path or url_env, not both", where="routing.ledger")
    url = environ.get(spec.url_env, "").strip()
    if not url.startswith(("postgresql://", "postgres://")):
        # Never the value: it holds a password.
        state = "holds no postgresql:// address" if url else "is not set"
        raise UsageError(
            f"the environment variable {spec.url_env} {state}",
            where="routing.ledger.url_env",
            hint=f"Set {spec.url_env}=postgresql://user:password@host:5432/database.",
        )
    driver = psycopg_driver()
    shown = shown_name(url, driver)
    digest = hashlib.blake2b(shown.encode(), digest_size=6).hexdigest()
    return Place(
        lambda: PostgresStore(url, driver),
        lambda: PostgresStore(url, driver, read_only=True),
        default_home() / f"ledger-{digest}.postgres",
    )
