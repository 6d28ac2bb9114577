"""The breaker on a clock of our own."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.backends.breaker import Breaker, BreakerPolicy, BreakerState, Ticket


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def longest(low: float, high: float) -> float:
    del low
    return high


def breaker(clock: Callable[[], float], **policy: float) -> Breaker:
    return Breaker(clock, BreakerPolicy(**policy), uniform=longest)  # type: ignore[arg-type]


def asked(one: Breaker) -> Ticket:
    ticket = one.ask()
    assert ticket is not None
    return ticket


def test_failures_in_a_row_open_it() -> None:
    one = breaker(Clock(), in_a_row=3)
    for _ in range(5):
        one.failed(asked(one))
        one.failed(asked(one))
        one.succeeded(asked(one))
    one.failed(asked(one))
    one.failed(asked(one))
    assert one.state is BreakerState.CLOSED
    one.failed(asked(one))
    assert one.state is BreakerState.OPEN
    assert one.ask() is None
    assert one.wait_s == 1.0


def test_a_bad_share_opens_it_once_there_is_enough_to_tell() -> None:
    clock = Clock()
    one = breaker(clock, in_a_row=100, share=0.5, out_of=8)
    for _ in range(3):
        one.failed(asked(one))
        one.succeeded(asked(one))
    one.failed(asked(one))
    assert one.state is BreakerState.CLOSED
    one.failed(asked(one))
    assert one.state is BreakerState.OPEN


def test_what_is_long_ago_does_not_count() -> None:
    clock = Clock()
    one = breaker(clock, in_a_row=100, share=0.5, out_of=8, window_s=20)
    for _ in range(7):
        one.failed(asked(one))
    clock.now += 21
    one.failed(asked(one))
    assert one.state is BreakerState.CLOSED
    # The half before this one does.
    clock.now += 11
    for _ in range(6):
        one.failed(asked(one))
    assert one.state is BreakerState.CLOSED
    one.failed(asked(one))
    assert one.state is BreakerState.OPEN


def test_one_probe_and_longer_pauses() -> None:
    clock = Clock()
    one = breaker(clock, in_a_row=1, pause_s=1, longest_pause_s=3)
    one.failed(asked(one))
    for pause_s in (1, 2, 3, 3):
        assert one.wait_s == pause_s
        clock.now += pause_s
        assert one.state is BreakerState.HALF_OPEN
        probe = asked(one)
        assert probe.probe
        assert one.ask() is None
        one.failed(probe)
        assert one.state is BreakerState.OPEN
    clock.now += 3
    one.succeeded(asked(one))
    assert one.state is BreakerState.CLOSED
    assert not asked(one).probe
    one.failed(asked(one))
    assert one.wait_s == 1


def test_a_probe_that_says_nothing_leaves_room_for_another() -> None:
    clock = Clock()
    one = breaker(clock, in_a_row=1)
    one.failed(asked(one))
    clock.now += 1
    one.abandoned(asked(one))
    assert one.state is BreakerState.HALF_OPEN
    one.succeeded(asked(one))
    assert one.state is BreakerState.CLOSED


def test_answers_to_what_was_asked_before_it_opened_are_old_news() -> None:
    clock = Clock()
    one = breaker(clock, in_a_row=1)
    old = [asked(one) for _ in range(4)]
    one.failed(old[0])
    one.succeeded(old[1])
    one.failed(old[2])
    assert one.state is BreakerState.OPEN
    clock.now += 1
    probe = asked(one)
    one.succeeded(old[3])
    assert one.ask() is None
    one.succeeded(probe)
    assert one.state is BreakerState.CLOSED


@given(st.lists(st.sampled_from(["ask", "ok", "fail", "leave", "wait"]), max_size=80))
def test_never_more_than_one_probe_and_never_stuck(steps: list[str]) -> None:
    clock = Clock()
    one = breaker(clock, in_a_row=2, out_of=6, window_s=4)
    out: list[Ticket] = []
    for step in steps:
        if step == "wait":
            clock.now += 0.7
        elif step == "ask":
            could, ticket = one.lets_through, one.ask()
            assert could == (ticket is not None)
            if ticket is not None:
                out.append(ticket)
        elif out:
            ticket = out.pop(0)
            {"ok": one.succeeded, "fail": one.failed, "leave": one.abandoned}[step](ticket)
        probes = [ticket for ticket in out if ticket.probe]
        if one.state is BreakerState.HALF_OPEN:
            assert one.lets_through or probes
    for ticket in out:
        one.succeeded(ticket)
    clock.now += 61
    last = one.ask()
    assert last is not None
    one.succeeded(last)
    assert one.state is BreakerState.CLOSED
