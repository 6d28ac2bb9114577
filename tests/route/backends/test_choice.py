"""Who is asked next, and how fast."""

from collections import Counter
from collections.abc import AsyncGenerator

from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.answer import Chunk
from pilotage.route.backends.backend import Fault
from pilotage.route.backends.backoff import backoff_s
from pilotage.route.backends.health import Member, choose
from pilotage.route.backends.pace import Pace
from pilotage.route.call import Call
from pilotage.spec.tiers import BackendSpec


class Clock:
    def __init__(self) -> None:
        self.now = 7.0

    def __call__(self) -> float:
        return self.now


class Nobody:
    name = "t/0"

    def complete(self, call: Call) -> AsyncGenerator[Chunk, None]:
        raise NotImplementedError

    async def close(self) -> None:
        pass


def members(*weights: float, clock: Clock | None = None, most: int = 9) -> list[Member]:
    return [
        Member(Nobody(), BackendSpec(weight=weight, max_concurrency=most), "m", clock or Clock())
        for weight in weights
    ]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 60))
def test_nobody_is_a_request_away_from_its_share(weights: list[int], rounds: int) -> None:
    all_ = members(*weights)
    picked: Counter[int] = Counter()
    for count in range(1, rounds + 1):
        one = choose(all_)
        assert one is not None
        picked[all_.index(one)] += 1
        for index, weight in enumerate(weights):
            assert abs(picked[index] - count * weight / sum(weights)) < len(weights)
    full = sum(weights)
    for _ in range(full - rounds % full):
        one = choose(all_)
        assert one is not None
        picked[all_.index(one)] += 1
    assert [picked[index] * full for index in range(len(weights))] == [
        weight * picked.total() for weight in weights
    ]


def test_spares_share_evenly_what_no_other_can_take() -> None:
    one, spare, other = members(1, 0, 0, most=1)
    assert choose([one, spare, other]) is one
    one.begin()
    picked = [choose([one, spare, other]) for _ in range(4)]
    assert picked == [spare, other, spare, other]
    assert choose([one, spare, other], [spare]) is other
    assert choose([one, spare], [spare]) is spare
    spare.begin()
    assert choose([one, spare]) is None


def test_who_asks_to_be_left_alone_is() -> None:
    clock = Clock()
    [one] = members(1, clock=clock)
    one.end(one.begin(), answered=False, fault=Fault.RATE_LIMITED, retry_after_s=5.0)
    assert not one.available
    assert one.wait_s == 5.0
    clock.now += 5
    assert one.available
    # A day is not believed.
    one.end(one.begin(), answered=False, fault=Fault.OVERLOADED, retry_after_s=86_400.0)
    assert one.wait_s == 60.0


def test_a_refusal_says_that_the_backend_is_well() -> None:
    [one] = members(1)
    for _ in range(20):
        one.end(one.begin(), answered=False, fault=Fault.REFUSED, retry_after_s=None)
    assert one.available
    assert one.health.failures == 0
    for _ in range(5):
        one.end(one.begin(), answered=False, fault=Fault.DENIED, retry_after_s=None)
    assert not one.available


def test_a_pace_lets_a_seconds_worth_through_at_once_and_then_evenly() -> None:
    clock = Clock()
    pace = Pace(4.0, clock)
    waits = [pace.take() for _ in range(8)]
    assert waits == [0, 0, 0, 0, 0.25, 0.5, 0.75, 1.0]
    pace.give_back()
    assert pace.turn_in_s() == 1.0
    clock.now += 1.0
    assert pace.turn_in_s() == 0.0
    clock.now += 100
    assert [pace.take() for _ in range(5)] == [0, 0, 0, 0, 0.25]
    free = Pace(None, clock)
    assert [free.take() for _ in range(99)] == [0.0] * 99


def test_waits_grow_are_spread_and_never_shorter_than_asked() -> None:
    tops = [backoff_s(failures, None, lambda low, high: high) for failures in range(8)]
    assert tops == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert backoff_s(3, None, lambda low, high: low) == 0.0
    assert backoff_s(0, 8.0, lambda low, high: low) == 8.0
    assert backoff_s(0, 8.0, lambda low, high: high) == 10.0
