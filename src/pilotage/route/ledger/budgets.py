"""What a key may still spend: dollars a day and a month, requests and tokens a minute.

Dollars that are spent come from the ledger itself: an attempt counts for its key the moment that
`Ledger.record` takes it, whatever its role, and after a restart because its row is there. A
reservation stands for what a request that is going on may yet cost. So::

    spent (recorded) + reserved (going on) + estimate (asked for) <= limit

is checked and reserved in one step, and a limit is passed by no more than what the requests that
were admitted below it cost beyond their estimates.

Nothing here touches the database. What other gateways on the same ledger spend is picked up every
`Ledger`'s ``refresh_s`` (2 s): until then each of them may spend what is left once more, so
``n`` gateways overshoot by at most what ``n - 1`` of them record in ``refresh_s`` plus the time a
batch takes to be written, plus what they have going on.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, Protocol

from pilotage.route.ledger.calendar import day_of, end_of_day, end_of_month, month_of
from pilotage.route.ledger.ledger import Ledger
from pilotage.route.ledger.minute import Minute
from pilotage.route.ledger.money import atto_of, dollars_of

Resource = Literal["usd_per_day", "usd_per_month", "requests_per_minute", "tokens_per_minute"]


class Limits(Protocol):
    """What one key may spend, as `pilotage.serve.keys.KeyLimits` says it; None is no limit."""

    @property
    def usd_per_day(self) -> Decimal | None:
        """US dollars a UTC day."""

    @property
    def usd_per_month(self) -> Decimal | None:
        """US dollars a calendar month, UTC."""

    @property
    def requests_per_minute(self) -> int | None:
        """Requests a minute."""

    @property
    def tokens_per_minute(self) -> int | None:
        """Prompt and completion tokens a minute."""


@dataclass(slots=True, eq=False)
class Reservation:
    """Room kept for one request; settled or released once, doing so again does nothing.

    Attributes:
        key_id: Who pays.
        estimate: US dollars kept for it.
        tokens: Tokens taken from the minute's.
        open: Whether it still stands.
    """

    key_id: str
    estimate: Decimal
    tokens: int
    open: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted:
    """The request may not go on; nothing was taken for it.

    Attributes:
        resource: The limit that stands in the way; the one that lasts longest if several do.
        limit: That limit: dollars, requests or tokens.
        spent: What is spent of it, what is reserved for requests going on included.
        reset_at: Unix seconds at which there is room again: the end of the UTC day or month, or
            when the minute's allowance has filled up far enough. None if this request alone is
            more than the limit, and will never fit.
    """

    resource: Resource
    limit: Decimal | int
    spent: Decimal | int
    reset_at: float | None


@dataclass(slots=True)
class _Account:
    """One key's: atto-dollars going on, and its minutes."""

    reserved: int = 0
    requests: Minute | None = None
    tokens: Minute | None = None


class Budgets:
    """The budgets of all keys of a gateway. Thread-safe, a few microseconds a call.

    Args:
        ledger: Where the attempts of the same requests are recorded. What it holds of this month
            and of the last minute is what keys have spent already.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._accounts: dict[str, _Account] = {}
        self._recent = ledger.recent()

    def reserve(
        self, key_id: str, limits: Limits, estimate: Decimal, at: float, *, tokens: int = 0
    ) -> Reservation | Exhausted:
        """Admit one request and keep room for it, or say which limit is in the way.

        Args:
            key_id: The key that pays.
            limits: What it may spend.
            estimate: US dollars that the request is expected to cost, at least 0.
            at: Unix seconds.
            tokens: Prompt and expected completion tokens, for the limit a minute.
        """
        wanted, tokens, day = max(0, atto_of(estimate)), max(0, tokens), day_of(at)
        today, month = self._ledger.spend.of(key_id, day)
        with self._lock:
            account = self._account(key_id)
            found = _dollars_refused(limits, account.reserved, wanted, (today, month), day)
            if found is None:
                found = self._minute_refused(key_id, account, limits, tokens, at)
            if found is not None:
                return found
            if account.requests is not None:
                account.requests.take(1)
            if account.tokens is not None:
                account.tokens.take(tokens)
            account.reserved += wanted
        return Reservation(key_id, dollars_of(wanted), tokens)

    def settle(self, reservation: Reservation, *, tokens: int) -> None:
        """The request is over and all its attempts are recorded: give back what was kept for it.

        What it cost needs no telling: its attempts in the ledger say so.

        Args:
            reservation: Of `reserve`.
            tokens: Prompt and completion tokens that it really used, all attempts together; what
                differs from the estimate is taken from the minute's tokens or given back.
        """
        with self._lock:
            account = self._closed(reservation)
            if account is not None and account.tokens is not None:
                account.tokens.take(max(0, tokens) - reservation.tokens)

    def release(self, reservation: Reservation) -> None:
        """The request did not come about (nothing was sent anywhere): as if it never was asked."""
        with self._lock:
            account = self._closed(reservation)
            if account is None:
                return
            if account.requests is not None:
                account.requests.take(-1)
            if account.tokens is not None:
                account.tokens.take(-reservation.tokens)

    def spent(self, key_id: str, at: float) -> tuple[Decimal, Decimal]:
        """US dollars that the key has spent this UTC day and month, without what is going on."""
        today, month = self._ledger.spend.of(key_id, day_of(at))
        return dollars_of(today), dollars_of(month)

    def _closed(self, reservation: Reservation) -> _Account | None:
        if not reservation.open:
            return None
        reservation.open = False
        account = self._account(reservation.key_id)
        account.reserved -= atto_of(reservation.estimate)
        return account

    def _account(self, key_id: str) -> _Account:
        account = self._accounts.get(key_id)
        if account is None:
            account = self._accounts[key_id] = _Account()
        return account

    def _minute_refused(
        self, key_id: str, account: _Account, limits: Limits, tokens: int, at: float
    ) -> Exhausted | None:
        past = self._recent.get(key_id, ())
        account.requests = Minute.settled(
            account.requests,
            limits.requests_per_minute,
            at,
            [(one.at, one.requests) for one in past],
        )
        account.tokens = Minute.settled(
            account.tokens, limits.tokens_per_minute, at, [(one.at, one.tokens) for one in past]
        )
        asked: tuple[tuple[Minute | None, int, Resource], ...] = (
            (account.tokens, tokens, "tokens_per_minute"),
            (account.requests, 1, "requests_per_minute"),
        )
        found: Exhausted | None = None
        for minute, amount, resource in asked:
            if minute is None:
                continue
            wait = minute.wait_for(amount)
            if wait == 0:
                continue
            reset_at = None if wait is None else at + wait
            if found is None or (found.reset_at or float("inf")) < (reset_at or float("inf")):
                found = Exhausted(
                    resource=resource, limit=minute.limit, spent=minute.spent, reset_at=reset_at
                )
        return found


_atto_of_limit: Final = functools.lru_cache(maxsize=1024)(atto_of)


def _dollars_refused(
    limits: Limits, reserved: int, wanted: int, spent: tuple[int, int], day: int
) -> Exhausted | None:
    asked: tuple[tuple[Decimal | None, int, float, Resource], ...] = (
        (limits.usd_per_month, spent[1], end_of_month(month_of(day)), "usd_per_month"),
        (limits.usd_per_day, spent[0], end_of_day(day), "usd_per_day"),
    )
    for limit, sum_, ends, resource in asked:
        if limit is None:
            continue
        most = _atto_of_limit(limit)
        # A key that has spent it all is done, whatever the next request may be estimated at.
        if sum_ + reserved + wanted > most or sum_ + reserved >= most:
            return Exhausted(
                resource=resource,
                limit=limit,
                spent=dollars_of(sum_ + reserved),
                reset_at=None if wanted > most else ends,
            )
    return None
