"""One request of a sender, from its due time to its end."""

from __future__ import annotations

import time
from typing import Protocol

from pilotage.prove.client.answer import Answer
from pilotage.prove.client.connection import Connection
from pilotage.prove.client.messages import Setup
from pilotage.prove.record import Outcome

_RACE_S = 0.02
_LONGEST_RACE_S = 0.5
"""How long after a request was sent the end of its kept connection may be a race; see `_raced`."""


class Sending(Protocol):
    """What a request needs of its sender."""

    setup: Setup

    def release(self, connection: Connection) -> None:
        """Keep ``connection``, which is free, for the next request."""

    def connect_for(self, request: Request) -> None:
        """Have a new connection carry ``request``, or the next one that is free."""

    def ended(self, request: Request, outcome: Outcome, error: str | None, at: float) -> None:
        """Write the record of ``request``, which ended ``at``."""


class Request:
    """One request from its due time to its end."""

    __slots__ = (
        "answer",
        "connection",
        "due",
        "over",
        "queued",
        "resent",
        "row",
        "sender",
        "sent",
        "serial",
        "started",
    )

    def __init__(self, sender: Sending, serial: int, due: float, row: int) -> None:
        self.sender = sender
        self.serial = serial
        self.row = row
        self.due = due
        self.started = time.monotonic()
        self.sent: float | None = None
        self.connection: Connection | None = None
        self.over = False
        self.queued = False
        self.resent = 0
        self.answer = Answer(keep_text=sender.setup.keep_text)

    def answered(self, connection: Connection, *, reusable: bool) -> None:
        """See `pilotage.prove.client.connection.Exchange`."""
        if reusable:
            self.sender.release(connection)
        else:
            connection.abort()
        outcome, error = self.answer.ended()
        self.end(outcome, error, connection.now)

    def failed(self, connection: Connection, why: str, *, garbage: bool, untouched: bool) -> None:
        """See `pilotage.prove.client.connection.Exchange`."""
        if untouched and not self.over and self._raced(connection):
            self.resent += 1
            self.sender.connect_for(self)
            return
        self.end("garbage" if garbage else "broken", why, time.monotonic())

    def _raced(self, connection: Connection) -> bool:
        """Whether the server had closed the kept connection before it could see the request.

        Then every HTTP client sends it again on a new one. The news of it takes a round trip at
        most; a connection that ends later ends because the server failed, which must not be
        hidden by trying again. How often it was tried again is told.
        """
        longest = min(_LONGEST_RACE_S, _RACE_S + 2 * connection.took_s)
        return (
            connection.used > 1
            and self.sent is not None
            and time.monotonic() - self.sent <= longest
        )

    def take_up(self) -> None:
        """Note that the sender has what it takes to send it, after it had not."""
        self.queued = False
        self.started = time.monotonic()

    def end(self, outcome: Outcome, error: str | None, at: float) -> None:
        """Record the end, once."""
        if not self.over:
            self.over = True
            self.connection = None
            self.sender.ended(self, outcome, error, at)
