"""The retry policy and the circuit, on a clock of the tests' own."""

import random
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import SourceError
from pilotage.fetch.circuit import Circuit, Ticket
from pilotage.fetch.origin import TransientError
from pilotage.fetch.retry import GaveUpError, Retry, RetryEvent, RetryPhase, RetryPolicy

ORIGIN = "https://models.test"


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.time += seconds


def retrier(clock: Clock, seed: int = 0, **policy: float) -> Retry:
    return Retry(
        RetryPolicy(**policy),  # type: ignore[arg-type]
        clock=clock.now,
        sleep=clock.sleep,
        uniform=random.Random(seed).uniform,
    )


def failing(*errors: Exception):
    """Raises one error a call, then returns "done"."""
    left = list(errors)

    def fn() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return fn


failures = st.builds(
    lambda asked, received: TransientError("no", retry_after_s=asked, received=received),
    st.none() | st.floats(0, 2000),
    st.booleans(),
)


@given(
    errors=st.lists(failures, max_size=40),
    attempts=st.integers(1, 8),
    budget=st.floats(0, 500),
    deadline=st.none() | st.floats(0, 300),
    seed=st.integers(0, 100),
)
def test_it_ends_in_time_and_never_calls_too_early(errors, attempts, budget, deadline, seed):
    clock = Clock()
    retry = retrier(clock, seed, attempts=attempts, base_s=0.5, cap_s=20, budget_s=budget)
    called_at: list[float] = []
    fn = failing(*errors)

    def recorded() -> str:
        called_at.append(clock.now())
        return fn()

    limit = None if deadline is None else 1000.0 + deadline
    try:
        assert retry.call(recorded, origin=ORIGIN, deadline=limit) == "done"
        assert len(called_at) == len(errors) + 1
    except GaveUpError as error:
        assert error.__cause__ is errors[len(called_at) - 1]
        assert error.attempts == len(called_at) <= len(errors)
    assert clock.time <= 1000.0 + budget + 1e-6
    assert limit is None or clock.time <= limit + 1e-6
    for before, after, error in zip(called_at, called_at[1:], errors, strict=False):
        assert after - before >= (error.retry_after_s or 0) - 1e-6
    # Without progress there are never more calls in a row than attempts.
    row = 0
    for error in errors[: len(called_at)]:
        row = 1 if error.received else row + 1
        assert row <= attempts


@given(n=st.integers(0, 2000), asked=st.none() | st.floats(0, 1e6), seed=st.integers(0, 50))
def test_backoff_is_within_its_bounds(n, asked, seed):
    wait = retrier(Clock(), seed, base_s=0.5, cap_s=20).backoff_s(n, asked)
    ceiling = min(20, 0.5 * 2 ** min(n, 10))
    if asked is None:
        assert 0 <= wait <= ceiling
    else:
        assert asked <= wait <= asked + max(ceiling, asked / 4)


def test_a_hundred_nodes_told_to_wait_55_s_do_not_wake_together():
    waits = sorted(retrier(Clock(), seed).backoff_s(0, 55.0) for seed in range(100))
    assert waits[0] >= 55
    assert waits[-1] - waits[0] > 10
    assert max(sum(1 for w in waits if at <= w < at + 1) for at in range(55, 70)) < 25


def test_progress_resets_the_attempts():
    errors = [TransientError("cut", received=True) for _ in range(30)]
    clock = Clock()
    assert retrier(clock, attempts=3).call(failing(*errors), origin=ORIGIN) == "done"


def test_time_in_which_bytes_arrived_does_not_count_against_the_budget():
    clock = Clock()
    left = [True] * 5

    def slow() -> str:
        if left:
            left.pop()
            clock.time += 600  # ten minutes of bytes, then a reset
            raise TransientError("cut", received=True)
        return "done"

    assert retrier(clock, budget_s=60).call(slow, origin=ORIGIN) == "done"


def test_a_wait_beyond_the_budget_gives_up_at_once_and_says_so():
    clock = Clock()
    told: list[RetryEvent] = []
    fn = failing(
        TransientError("the server answers 503", where="https://models.test/a"),
        TransientError("the server answers 429", where="https://models.test/a", retry_after_s=900),
    )
    with pytest.raises(
        GaveUpError, match=r"429; gave up after 2 tries in \d\.\d s, as the next"
    ) as e:
        retrier(clock, budget_s=300).call(fn, origin=ORIGIN, told=told.append)
    assert clock.time - 1000 < 1
    assert e.value.where == "https://models.test/a"
    assert not isinstance(e.value, TransientError)
    assert [event.phase for event in told] == [RetryPhase.WAITING, RetryPhase.GAVE_UP]


def test_what_is_not_transient_is_not_tried_again():
    calls = []

    def fn() -> None:
        calls.append(1)
        raise SourceError("no such repo")

    with pytest.raises(SourceError, match="no such repo"):
        retrier(Clock()).call(fn, origin=ORIGIN)
    assert len(calls) == 1


def test_one_callers_rate_limit_holds_the_others():
    clock = Clock()
    retry = retrier(clock)
    with pytest.raises(GaveUpError):
        limited = failing(TransientError("429", retry_after_s=40))
        retry.call(limited, origin=ORIGIN, deadline=1030)
    told: list[RetryEvent] = []
    calls: list[float] = []
    retry.call(lambda: calls.append(clock.now()), origin=ORIGIN, told=told.append)
    assert calls[0] >= 1040
    assert told[0].phase is RetryPhase.HELD
    # Another origin is none of its business.
    clock.slept.clear()
    assert retry.call(failing(), origin="https://other.test") == "done"
    assert clock.slept == []


def test_a_caller_that_cannot_wait_out_an_open_circuit_gives_up_without_a_call():
    clock = Clock()
    retry = retrier(clock, budget_s=30)
    with pytest.raises(GaveUpError):
        retry.call(failing(TransientError("429", retry_after_s=4000)), origin=ORIGIN)
    with pytest.raises(GaveUpError, match="429; gave up after 0 tries") as e:
        retry.call(lambda: pytest.fail("called"), origin=ORIGIN)
    assert e.value.attempts == 0


def test_sleep_may_end_a_call():
    class Stopped(Exception):
        pass

    def stop(seconds: float) -> None:
        raise Stopped

    retry = Retry(sleep=stop)
    with pytest.raises(Stopped):
        retry.call(failing(TransientError("no")), origin=ORIGIN)


def test_an_interrupted_probe_leaves_the_circuit_to_the_next():
    clock = Clock()
    retry = retrier(clock, attempts=5)
    with pytest.raises(GaveUpError):
        retry.call(failing(*[TransientError("no")] * 5), origin=ORIGIN)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retry.call(interrupted, origin=ORIGIN)
    assert retry.call(failing(), origin=ORIGIN) == "done"


def test_sixteen_callers_share_one_probe():
    clock = Clock()  # shared by the threads; that it races forward does no harm
    lock = threading.Lock()
    down, inside, most, calls_while_down = True, 0, 0, 0

    def sleep(seconds: float) -> None:
        with lock:
            clock.time += seconds
        time.sleep(0.001)

    retry = Retry(RetryPolicy(attempts=1000, budget_s=1e9), clock=clock.now, sleep=sleep)
    for _ in range(5):
        retry.circuit(ORIGIN).failed(Ticket(probe=False), clock.now(), TransientError("down"))

    def fn() -> str:
        nonlocal inside, most, calls_while_down, down
        with lock:
            was_down = down
            inside += was_down
            most = max(most, inside)
            calls_while_down += was_down
        time.sleep(0.002)
        with lock:
            inside -= was_down
            if was_down and calls_while_down >= 3:
                down = False
        if was_down:
            raise TransientError("down")
        return "done"

    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(retry.call(fn, origin=ORIGIN)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == ["done"] * 16
    assert most == 1
    assert calls_while_down == 3


def test_a_circuit_opens_probes_and_closes():
    circuit = Circuit(failures=3, pause_s=4, cap_s=10, uniform=lambda low, high: high)
    error = TransientError("no")
    for _ in range(3):
        ticket = circuit.ask(0.0)
        assert ticket == Ticket(probe=False)
        circuit.failed(ticket, 0.0, error)
    assert circuit.ask(1.0) == 3.0
    probe = circuit.ask(4.0)
    assert probe == Ticket(probe=True)
    assert isinstance(circuit.ask(4.0), float)
    circuit.succeeded(Ticket(probe=False))  # a straggler from before does not close it
    assert isinstance(circuit.ask(4.0), float)
    circuit.failed(probe, 5.0, error)
    assert circuit.ask(5.0) == 8.0  # twice the first pause
    again = circuit.ask(13.0)
    circuit.failed(again, 13.0, error)
    assert circuit.ask(13.0) == 10.0  # the cap
    circuit.succeeded(circuit.ask(23.0))
    assert circuit.ask(23.0) == Ticket(probe=False)
    assert circuit.last_error is error


def test_another_way_to_wait_shares_the_circuits():
    clock, naps = Clock(), []
    retry = retrier(clock)
    other = retry.sleeping(naps.append)
    calls = iter([TransientError("no"), TransientError("no")])

    def fn():
        for error in calls:
            raise error
        return "well"

    assert other.call(fn, origin=ORIGIN) == "well"
    assert len(naps) == 2
    assert other.circuit(ORIGIN) is retry.circuit(ORIGIN)
