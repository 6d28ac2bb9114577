"""Opening a database that may be busy, or only about to start."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from pilotage.errors import PilotageError, StoreError
from pilotage.route.ledger.store import Store

_WITHIN_S: Final = 10.0


def opened(connect: Callable[[], Store]) -> Store:
    """The database, after a while if it cannot be had just now.

    Raises:
        StoreError: It cannot be had at all, or not within 10 s.
    """
    give_up_at = time.monotonic() + _WITHIN_S
    while True:
        try:
            return connect()
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - each driver has its own
            if time.monotonic() >= give_up_at:
                raise StoreError(
                    f"the ledger cannot be opened ({said(error)})",
                    hint="See that it is running and not locked by another program.",
                ) from None
        time.sleep(0.1)


def said(error: BaseException) -> str:
    """One short line of an error, for logs; a driver's details may quote a row."""
    if isinstance(error, PilotageError):
        return str(error)
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
