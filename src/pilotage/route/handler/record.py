"""Where a function's attempts are written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pilotage.route.attempt import AttemptSink
from pilotage.route.handler.log_sink import LogSink
from pilotage.spec.routing import LedgerSpec


class Record(AttemptSink, Protocol):
    """A sink that can be waited for."""

    def flush(self, timeout_s: float) -> bool:
        """Wait until what was taken is written down; whether it is, after that time at most."""
        ...

    def close(self) -> None:
        """Write what is left, and let go of the database."""
        ...


def open_record(spec: LedgerSpec, environ: Mapping[str, str]) -> Record:
    """The ledger that a spec names, else the log.

    The default ledger of other servers, a file in Pilotage's home, is none here: a function's disk
    is gone with its container. A file that is named may be on a mounted file system.

    Raises:
        PilotageError: The ledger cannot be opened.
    """
    if spec.path is None and spec.url_env is None:
        return LogSink()
    from pilotage.route.ledger import open_ledger  # noqa: PLC0415  most functions need no database

    return open_ledger(spec, environ)
