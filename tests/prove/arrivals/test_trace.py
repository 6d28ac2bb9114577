"""Replaying a trace: which requests, when, and how long."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.prove.arrivals import Trace, replay, scaled_to


def trace(*times: float, **fields: Any) -> Trace:
    count = len(times)
    return Trace(
        times_s=np.array(times, dtype=np.float64),
        prompt_tokens=np.arange(100, 100 + count),
        completion_tokens=np.arange(10, 10 + count),
        prefix_ids=fields.get("prefix_ids"),
        name="calls.csv",
    )


TEN = trace(*range(10))


class TestTrace:
    def test_its_last_gap_is_as_long_as_the_others(self) -> None:
        assert TEN.duration_s == pytest.approx(10)
        assert TEN.rate == pytest.approx(1)

    @pytest.mark.parametrize("times", [(0.0,), (0.0, 0.0, 0.0)])
    def test_one_moment_lasts_a_second(self, times: tuple[float, ...]) -> None:
        assert trace(*times).duration_s == 1

    def test_has_a_length(self) -> None:
        assert len(TEN) == 10


class TestReplay:
    def test_is_the_trace_as_it_was(self) -> None:
        ids = tuple((0, number) for number in range(10))

        schedule = replay(trace(*range(10), prefix_ids=ids))

        assert schedule.times_s.tolist() == [*range(10)]
        assert schedule.duration_s == pytest.approx(10)
        assert schedule.prompt_tokens is not None
        assert schedule.prompt_tokens.tolist() == [*range(100, 110)]
        assert schedule.completion_tokens is not None
        assert schedule.completion_tokens.tolist() == [*range(10, 20)]
        assert schedule.prefix_ids == ids
        assert schedule.description == "trace calls.csv, 1/s on average for 10s"

    def test_speed_compresses_time(self) -> None:
        schedule = replay(TEN, speed=4)

        assert schedule.times_s.tolist() == [number / 4 for number in range(10)]
        assert schedule.duration_s == pytest.approx(2.5)
        assert schedule.description == (
            "trace calls.csv, at 4 times its speed, 4/s on average for 2.5s"
        )

    def test_the_duration_is_on_the_runs_clock(self) -> None:
        schedule = replay(TEN, speed=4, duration_s=1)

        assert schedule.times_s.tolist() == [0, 0.25, 0.5, 0.75]
        assert schedule.duration_s == 1

    def test_the_start_is_on_the_traces_clock_and_becomes_zero(self) -> None:
        ids = tuple((number,) for number in range(10))

        schedule = replay(trace(*range(10), prefix_ids=ids), speed=2, start_s=4.5, duration_s=1)

        assert schedule.times_s.tolist() == [0.25, 0.75]
        assert schedule.prompt_tokens is not None
        assert schedule.prompt_tokens.tolist() == [105, 106]
        assert schedule.prefix_ids == ((5,), (6,))
        assert "from 4.5s on" in schedule.description

    def test_a_trace_that_ends_before_ends_the_schedule(self) -> None:
        schedule = replay(TEN, start_s=7, duration_s=60)

        assert len(schedule) == 3
        assert schedule.duration_s == pytest.approx(3)

    def test_requests_cut_it_at_the_next_ones_time(self) -> None:
        schedule = replay(TEN, requests=4)

        assert schedule.times_s.tolist() == [0, 1, 2, 3]
        assert schedule.duration_s == 4

    def test_requests_cut_through_a_burst(self) -> None:
        schedule = replay(trace(0, 1, 1, 1, 1, 3), requests=3)

        assert schedule.times_s.tolist() == [0, 1, 1]
        assert schedule.duration_s == 3

    def test_the_shorter_of_requests_and_duration_holds(self) -> None:
        assert len(replay(TEN, requests=3, duration_s=5)) == 3
        assert len(replay(TEN, requests=5, duration_s=3)) == 3
        assert replay(TEN, requests=99, duration_s=3).duration_s == 3
        assert len(replay(TEN, requests=99)) == 10

    def test_a_length_of_zero_becomes_one(self) -> None:
        silent = Trace(np.array([0.0]), np.array([0]), np.array([0]), None, "calls.csv")

        schedule = replay(silent)

        assert schedule.prompt_tokens is not None
        assert schedule.prompt_tokens.tolist() == [1]
        assert schedule.completion_tokens is not None
        assert schedule.completion_tokens.tolist() == [1]

    @settings(max_examples=100, deadline=None)
    @given(
        gaps=st.lists(st.sampled_from([0.0, 0.001, 0.5, 7.3]), max_size=30),
        speed=st.floats(1e-6, 1e6),
        start=st.floats(0, 0.99),
        duration_s=st.none() | st.floats(1e-6, 1e6),
        requests=st.none() | st.integers(1, 40),
    )
    def test_whatever_is_taken_ascends_within_the_duration(
        self,
        gaps: list[float],
        speed: float,
        start: float,
        duration_s: float | None,
        requests: int | None,
    ) -> None:
        whole = trace(0.0, *np.cumsum(gaps))
        start_s = start * whole.duration_s
        try:
            schedule = replay(
                whole, speed=speed, start_s=start_s, duration_s=duration_s, requests=requests
            )
        except UsageError as error:
            assert "has no request" in str(error)
            return

        assert 1 <= len(schedule) <= (requests or math.inf)
        assert np.all(np.diff(schedule.times_s) >= 0)
        assert schedule.times_s[0] >= 0
        assert schedule.times_s[-1] < schedule.duration_s
        assert schedule.duration_s <= (duration_s or math.inf)
        assert schedule.prompt_tokens is not None
        assert len(schedule.prompt_tokens) == len(schedule)

    @pytest.mark.parametrize("speed", [0, -1, math.nan, math.inf, 1e-7, 1e7])
    def test_refuses_a_speed_that_is_none(self, speed: float) -> None:
        with pytest.raises(UsageError, match=r"speed: got .* 2 is twice as fast"):
            replay(TEN, speed=speed)

    @pytest.mark.parametrize("start_s", [-1, 10, math.nan, math.inf])
    def test_refuses_a_start_outside(self, start_s: float) -> None:
        with pytest.raises(UsageError, match=r"start: got .*calls\.csv is 10 s long"):
            replay(TEN, start_s=start_s)

    @pytest.mark.parametrize("duration_s", [0, -1, math.nan, math.inf])
    def test_refuses_a_duration_that_is_none(self, duration_s: float) -> None:
        with pytest.raises(UsageError, match="duration: got"):
            replay(TEN, duration_s=duration_s)

    @pytest.mark.parametrize("requests", [0, -1])
    def test_refuses_no_requests(self, requests: int) -> None:
        with pytest.raises(UsageError, match="requests: got"):
            replay(TEN, requests=requests)

    def test_says_where_the_next_request_is(self) -> None:
        with pytest.raises(UsageError, match=r"no request in the 100ms .*next request is at 3 s"):
            replay(TEN, start_s=2.5, duration_s=0.1)

    def test_says_where_the_last_request_is(self) -> None:
        with pytest.raises(UsageError, match="Its last request is at 9 s"):
            replay(TEN, start_s=9.5)


class TestScaledTo:
    @pytest.mark.parametrize("rate", [0.1, 1, 37])
    def test_the_replay_has_that_rate(self, rate: float) -> None:
        uneven = trace(0, 0.1, 0.2, 5, 5, 5, 20)

        assert replay(uneven, speed=scaled_to(uneven, rate)).rate == pytest.approx(rate)

    @pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
    def test_refuses_a_rate_that_is_none(self, rate: float) -> None:
        with pytest.raises(UsageError, match="rate: got"):
            scaled_to(TEN, rate)

    @given(start=st.floats(0, 40), duration=st.floats(1, 60), rate=st.floats(0.2, 5))
    def test_the_part_that_is_replayed_has_the_rate(
        self, start: float, duration: float, rate: float
    ) -> None:
        uneven = trace(*np.cumsum([0, *[5.0] * 10, *[0.1] * 400]))
        speed = scaled_to(uneven, rate, start_s=start, duration_s=duration)
        found = replay(uneven, speed=speed, start_s=start, duration_s=duration)
        # Rounding to whole requests, and two that are due within rounding of the end.
        assert len(found) == pytest.approx(rate * found.duration_s, abs=2.01)

    def test_refuses_a_single_moment(self) -> None:
        with pytest.raises(UsageError, match=r"calls\.csv: all requests came at one moment"):
            scaled_to(trace(0, 0), 5)
