"""The function's log: one JSON object a line on standard output, which CloudWatch can query.

It is the ledger, too, where the spec names no database: what a function writes to its disk is
gone with its container. No line holds a prompt, an answer or a secret.
"""

from __future__ import annotations

import sys
import traceback
from typing import Any

import msgspec

from pilotage.route.attempt import Attempt


def log(event: str, **fields: Any) -> None:
    """Write a line.

    Args:
        event: What happened, such as "pilotage.attempt"; the field to filter by.
        fields: What is known about it; JSON-ready, Decimals and structs included.
    """
    line = msgspec.json.encode({"event": event, **fields}).decode()
    # One write a line: the runtime makes each write a record of its own. Looked up every time, for
    # the runtime puts its own stream there.
    sys.stdout.write(f"{line}\n")


def log_failure(request_id: str, error: BaseException) -> None:
    """Write what went wrong inside: the kind of error and where it was raised.

    Not what it says: messages of unknown errors may quote what they choked on.
    """
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    log(
        "pilotage.failure",
        request_id=request_id,
        error=type(error).__name__,
        at=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )


class LogSink:
    """Writes attempts to the log; the field ``event`` is ``pilotage.attempt``."""

    def record(self, attempt: Attempt) -> None:
        """Write an attempt's line."""
        log("pilotage.attempt", **msgspec.structs.asdict(attempt))

    def flush(self, timeout_s: float) -> bool:
        """Nothing waits: lines are written at once."""
        return True

    def close(self) -> None:
        """Nothing is open."""
