"""Budgets: they hold with many requests at once, across restarts, and say when there is room."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from ledger_attempts import DAY, KEY, NOON, attempt, ledger_at

from pilotage.route.answer import Usage
from pilotage.route.attempt import Outcome, Role
from pilotage.route.ledger import Budgets, Exhausted, Ledger, Reservation
from pilotage.route.ledger.spend import Spend
from pilotage.serve.keys import KeyLimits

MIDNIGHT = 1_772_064_000.0  # the end of that day
MARCH = 1_772_323_200.0  # the end of that month


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    opened = ledger_at(path)
    yield opened
    opened.close()


def usd(day: str | None = None, month: str | None = None) -> KeyLimits:
    return KeyLimits(
        usd_per_day=None if day is None else Decimal(day),
        usd_per_month=None if month is None else Decimal(month),
    )


def test_a_day_and_a_month_of_dollars_end_with_when_they_begin_anew(ledger: Ledger) -> None:
    budgets, limits = Budgets(ledger), usd(day="1", month="1.5")
    held = budgets.reserve(KEY, limits, Decimal("0.6"), NOON)
    assert isinstance(held, Reservation)
    assert budgets.reserve(KEY, limits, Decimal("0.6"), NOON) == Exhausted(
        resource="usd_per_day", limit=Decimal(1), spent=Decimal("0.6"), reset_at=MIDNIGHT
    )
    ledger.record(attempt(cost=Decimal("0.9")))
    budgets.settle(held, tokens=0)
    assert budgets.spent(KEY, NOON) == (Decimal("0.9"), Decimal("0.9"))
    # The next day is a new one, the month is the same.
    assert budgets.reserve(KEY, limits, Decimal("0.7"), NOON + DAY) == Exhausted(
        resource="usd_per_month", limit=Decimal("1.5"), spent=Decimal("0.9"), reset_at=MARCH
    )
    assert isinstance(budgets.reserve(KEY, limits, Decimal("0.7"), MARCH + 1), Reservation)
    # Another key has its own, and one without limits none.
    assert isinstance(budgets.reserve("other123", limits, Decimal(1), NOON), Reservation)
    assert isinstance(budgets.reserve(KEY, KeyLimits(), Decimal(1000), NOON), Reservation)


def test_a_request_that_is_more_than_the_limit_never_fits(ledger: Ledger) -> None:
    refused = Budgets(ledger).reserve(KEY, usd(day="1"), Decimal("1.01"), NOON)
    assert isinstance(refused, Exhausted)
    assert refused.reset_at is None


def test_what_is_all_spent_admits_nothing_even_for_free(ledger: Ledger) -> None:
    budgets = Budgets(ledger)
    ledger.record(attempt(cost=Decimal(1)))
    assert isinstance(budgets.reserve(KEY, usd(day="1"), Decimal(0), NOON), Exhausted)
    assert isinstance(budgets.reserve(KEY, usd(day="1.01"), Decimal(0), NOON), Reservation)


def test_whatever_a_key_pays_for_counts_also_shadows_and_what_failed(ledger: Ledger) -> None:
    for role in Role:
        ledger.record(attempt(role=role, outcome=Outcome.ERROR, cost=Decimal("0.1")))
    ledger.record(attempt(key_id=None, cost=Decimal(5)))
    assert Budgets(ledger).spent(KEY, NOON)[0] == Decimal("0.7")


def test_released_or_settled_twice_counts_once(ledger: Ledger) -> None:
    budgets, limits = Budgets(ledger), usd(day="1")
    first = budgets.reserve(KEY, limits, Decimal("0.6"), NOON)
    assert isinstance(first, Reservation)
    for _ in range(3):
        budgets.release(first)
        budgets.settle(first, tokens=5)
    second = budgets.reserve(KEY, limits, Decimal("0.6"), NOON)
    assert isinstance(second, Reservation)
    assert isinstance(budgets.reserve(KEY, limits, Decimal("0.6"), NOON), Exhausted)


def test_after_a_restart_what_was_spent_is_spent_and_reservations_are_gone(path: Path) -> None:
    ledger = ledger_at(path)
    budgets, limits = Budgets(ledger), usd(day="1")
    assert isinstance(budgets.reserve(KEY, limits, Decimal("0.5"), NOON), Reservation)
    # Its draft is recorded, then the gateway dies with the request going on.
    ledger.record(attempt(role=Role.DRAFT, cost=Decimal("0.3")))
    assert ledger.flush()
    again = ledger_at(path)
    budgets = Budgets(again)
    assert budgets.spent(KEY, NOON) == (Decimal("0.3"), Decimal("0.3"))
    assert isinstance(budgets.reserve(KEY, limits, Decimal("0.7"), NOON), Reservation)
    assert isinstance(budgets.reserve(KEY, limits, Decimal("0.1"), NOON), Exhausted)
    again.close()
    ledger.close()


def test_many_threads_at_once_do_not_pass_the_limit(ledger: Ledger) -> None:
    budgets, limits, cost = Budgets(ledger), usd(day="1"), Decimal("0.01")
    admitted: list[int] = []

    def ask() -> None:
        for _ in range(50):
            got = budgets.reserve(KEY, limits, cost, NOON)
            if isinstance(got, Reservation):
                admitted.append(1)
                ledger.record(attempt(cost=cost))
                budgets.settle(got, tokens=0)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # While one is recorded and not yet settled it counts twice, which may turn some away.
    assert budgets.spent(KEY, NOON)[0] == cost * len(admitted) <= 1
    for _ in range(100 - len(admitted)):
        assert isinstance(budgets.reserve(KEY, limits, cost, NOON), Reservation)
    assert isinstance(budgets.reserve(KEY, limits, cost, NOON), Exhausted)


def test_requests_a_minute(ledger: Ledger) -> None:
    budgets, limits = Budgets(ledger), KeyLimits(requests_per_minute=3)
    held = [budgets.reserve(KEY, limits, Decimal(0), NOON) for _ in range(3)]
    refused = budgets.reserve(KEY, limits, Decimal(0), NOON)
    assert isinstance(refused, Exhausted)
    assert (refused.resource, refused.limit, refused.spent) == ("requests_per_minute", 3, 3)
    assert refused.reset_at == pytest.approx(NOON + 20, abs=1e-3)
    assert isinstance(budgets.reserve(KEY, limits, Decimal(0), refused.reset_at), Reservation)
    # One that never came about gives its place back.
    assert isinstance(held[0], Reservation)
    budgets.release(held[0])
    assert isinstance(budgets.reserve(KEY, limits, Decimal(0), refused.reset_at), Reservation)


def test_tokens_a_minute_are_corrected_when_they_are_known(ledger: Ledger) -> None:
    budgets, limits = Budgets(ledger), KeyLimits(tokens_per_minute=600)
    first = budgets.reserve(KEY, limits, Decimal(0), NOON, tokens=600)
    assert isinstance(first, Reservation)
    refused = budgets.reserve(KEY, limits, Decimal(0), NOON, tokens=100)
    assert isinstance(refused, Exhausted)
    assert refused.reset_at == pytest.approx(NOON + 10, abs=1e-3)
    budgets.settle(first, tokens=200)
    second = budgets.reserve(KEY, limits, Decimal(0), NOON, tokens=400)
    assert isinstance(second, Reservation)
    budgets.settle(second, tokens=1000)  # far more than was thought: paid back by waiting
    refused = budgets.reserve(KEY, limits, Decimal(0), NOON, tokens=100)
    assert isinstance(refused, Exhausted)
    assert refused.spent == 1200
    assert refused.reset_at == pytest.approx(NOON + 70, abs=1e-3)
    never = budgets.reserve(KEY, limits, Decimal(0), NOON, tokens=601)
    assert isinstance(never, Exhausted)
    assert never.reset_at is None


def test_a_refusal_takes_nothing(ledger: Ledger) -> None:
    budgets = Budgets(ledger)
    tight = KeyLimits(requests_per_minute=1, tokens_per_minute=10)
    for _ in range(5):
        assert isinstance(budgets.reserve(KEY, tight, Decimal(0), NOON, tokens=11), Exhausted)
    assert isinstance(budgets.reserve(KEY, tight, Decimal(0), NOON, tokens=10), Reservation)


def test_the_minute_before_a_restart_counts(path: Path) -> None:
    ledger = ledger_at(path)
    for place in range(4):
        ledger.record(
            attempt(
                request_id=f"q{place // 2}",  # two attempts a request
                at=NOON - 10,
                usage=Usage(prompt_tokens=80, completion_tokens=20),
            )
        )
    ledger.record(attempt(at=NOON - 61, usage=Usage(prompt_tokens=10**6)))
    ledger.close()
    again = ledger_at(path)
    budgets = Budgets(again)
    limits = KeyLimits(requests_per_minute=6, tokens_per_minute=600)
    # Ten seconds gave back 1 request and 100 tokens of the 2 and 400.
    full = budgets.reserve(KEY, limits, Decimal(0), NOON, tokens=400)
    assert isinstance(full, Exhausted)
    assert (full.resource, full.spent) == ("tokens_per_minute", 300)
    assert isinstance(budgets.reserve(KEY, limits, Decimal(0), NOON, tokens=300), Reservation)
    for _ in range(4):
        assert isinstance(budgets.reserve(KEY, limits, Decimal(0), NOON), Reservation)
    assert isinstance(budgets.reserve(KEY, limits, Decimal(0), NOON), Exhausted)
    again.close()


def test_a_limit_that_was_changed_holds_from_the_next_request_on(ledger: Ledger) -> None:
    budgets = Budgets(ledger)
    assert isinstance(
        budgets.reserve(KEY, KeyLimits(requests_per_minute=10), Decimal(0), NOON), Reservation
    )
    assert isinstance(
        budgets.reserve(KEY, KeyLimits(requests_per_minute=1), Decimal(0), NOON), Reservation
    )
    assert isinstance(
        budgets.reserve(KEY, KeyLimits(requests_per_minute=1), Decimal(0), NOON), Exhausted
    )


@dataclass
class FakeLedger:
    """A ledger's part that budgets see, without a file; spend itself is the real one."""

    spend: Spend

    def recent(self) -> dict[str, list[object]]:
        return {}

    def record(self, cost: Decimal) -> None:
        self.spend.add(KEY, int(NOON // DAY), int(cost.scaleb(18)))


CENTS = st.integers(0, 60).map(lambda cents: Decimal(cents) / 100)


class Overshoot(RuleBasedStateMachine):
    """Requests that begin, record attempts and end in any order, some dearer than was thought."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = FakeLedger(Spend())
        self.budgets = Budgets(self.ledger)  # type: ignore[arg-type]
        self.limits = usd(day="1", month="20")
        self.going: list[tuple[Reservation, Decimal]] = []
        self.paid = Decimal(0)
        self.beyond = Decimal(0)

    @rule(estimate=CENTS)
    def ask(self, estimate: Decimal) -> None:
        kept = sum((one.estimate for one, _ in self.going), Decimal(0))
        got = self.budgets.reserve(KEY, self.limits, estimate, NOON)
        room = self.paid + kept + estimate <= 1 and self.paid + kept < 1
        assert isinstance(got, Reservation) == room
        if isinstance(got, Reservation):
            self.going.append((got, estimate))

    @precondition(lambda self: self.going)
    @rule(data=st.data(), cost=CENTS, parts=st.integers(1, 3))
    def end(self, data: st.DataObject, cost: Decimal, parts: int) -> None:
        place = data.draw(st.integers(0, len(self.going) - 1))
        held, estimate = self.going.pop(place)
        for _ in range(parts):
            self.ledger.record(cost / 4)
        self.paid += cost / 4 * parts
        self.beyond += max(Decimal(0), cost / 4 * parts - estimate)
        self.budgets.settle(held, tokens=1)

    @precondition(lambda self: self.going)
    @rule()
    def give_back(self) -> None:
        self.budgets.release(self.going.pop()[0])

    @invariant()
    def holds(self) -> None:
        assert self.budgets.spent(KEY, NOON)[0] == self.paid
        kept = sum((one.estimate for one, _ in self.going), Decimal(0))
        assert self.paid + kept <= 1 + self.beyond


Overshoot.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestOvershoot = Overshoot.TestCase
