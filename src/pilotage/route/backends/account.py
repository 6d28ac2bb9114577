"""What attempts cost, and their way into the ledger: each exactly once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final, Protocol

import msgspec

from pilotage.route.answer import Usage
from pilotage.route.attempt import Attempt, AttemptSink, Role
from pilotage.route.backends.backend import BackendError, Fault

_NOTHING_DONE: Final = frozenset(
    {
        Fault.UNREACHABLE,
        Fault.RATE_LIMITED,
        Fault.OVERLOADED,
        Fault.FAILED,
        Fault.GARBAGE,
        Fault.REFUSED,
        Fault.DENIED,
    }
)
"""Faults of an attempt that nobody is charged for, unless something had come before."""


class Tally(Protocol):
    """What is known of an answer so far."""

    @property
    def usage(self) -> Usage | None:
        """What the provider says it used."""
        ...

    @property
    def model(self) -> str | None:
        """What it says it is."""
        ...

    @property
    def tokens(self) -> int:
        """About how many tokens have come."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the answer is whole."""
        ...


class Payer(Protocol):
    """Whose request it is."""

    request_id: str
    key_id: str | None

    @property
    def images(self) -> int:
        """Images of the prompt."""
        ...

    @property
    def prompt_tokens(self) -> int:
        """About how many tokens the prompt is."""
        ...


def billed(payer: Payer, tally: Tally, error: BackendError | None) -> Usage | None:
    """What an attempt is billed for, however it ended.

    Args:
        payer: Whose it is.
        tally: What came.
        error: What went wrong.

    Returns:
        What the provider told; our estimate where it told nothing; None where nothing was done.
    """
    told = error.usage if error is not None and error.usage is not None else tally.usage
    if told is not None:
        images = 0 if told.images else payer.images
        return replace(told, images=images) if images else told
    if error is not None and error.fault in _NOTHING_DONE and not tally.tokens:
        return None
    return Usage(
        prompt_tokens=payer.prompt_tokens,
        completion_tokens=tally.tokens,
        images=payer.images,
        estimated=True,
    )


class Account:
    """The attempts at one answer.

    Each is held until the next begins, or until `write`: so its role and the decision about it
    can be those that turn out.

    Args:
        sink: Where they go.
        role: What the answer is for.
        decision: Why it is asked for.

    Attributes:
        role: What the answer is for, as far as is known.
        decision: Why, and what came of it.
        scores: Of estimators and verifiers.
        cost: US dollars of the attempts that are over.
        last: The last that is over, as it would be or was written.
        count: Attempts that are over.
    """

    def __init__(self, sink: AttemptSink, role: Role, decision: str) -> None:
        self.role = role
        self.cost = Decimal(0)
        self.last: Attempt | None = None
        self.count = 0
        self._sink = sink
        self.decision = decision
        self.scores: Mapping[str, float] = {}
        self._held = False

    def over(self, attempt: Attempt) -> None:
        """Take an attempt that is over."""
        self.last = attempt
        self.cost += attempt.cost
        self.count += 1
        self._held = True

    def settle(
        self, role: Role | None, decision: str | None, scores: Mapping[str, float] | None
    ) -> None:
        """Say what became of the answer, until its row is written."""
        self.role = role or self.role
        self.decision = self.decision if decision is None else decision
        self.scores = self.scores if scores is None else dict(scores)
        if self._held and self.last is not None:
            self.last = msgspec.structs.replace(
                self.last, role=self.role, decision=self.decision, scores=self.scores
            )

    def tried_again(self) -> None:
        """Write the held attempt, which failed and is followed by another."""
        if self._held and self.last is not None:
            self.last = msgspec.structs.replace(
                self.last, decision=f"{self.last.fault}: tried again"
            )
        self.write()

    def write(self) -> None:
        """Write the held attempt, if there is one."""
        if self._held and self.last is not None:
            self._held = False
            self._sink.record(self.last)
