"""A trace that is replayed: its bursts and its evenness count, not only its mean."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from planning import question

from pilotage.plan.assumptions import assume
from pilotage.plan.demand import Lengths
from pilotage.plan.notes import notes_on
from pilotage.plan.question import Question
from pilotage.plan.rating import rate
from pilotage.plan.replay import LEAST_REQUESTS, MOST_REQUESTS, Recording, recording, replay
from pilotage.plan.simulate.requests import Floats
from pilotage.plan.sizing import Rated, Sizer, broken_promises
from pilotage.plan.strategies import Circumstances
from pilotage.plan.trace import recorded

RATE, SECONDS = 150, 60
PROMPT, COMPLETION = 300, 40


def poisson(count: int, begin: float, seconds: float, seed: int) -> Floats:
    random = np.random.default_rng(seed)
    return np.sort(begin + random.uniform(0, seconds, count))


def traced(times: Floats, *, replayed: bool = True, prompt: int = PROMPT) -> Question:
    """The question of a trace, with its arrivals or without."""
    times = times - times[0]
    lengths = [prompt] * len(times), [COMPLETION] * len(times)
    found = recorded(times, *lengths, where="test")
    kept = recording(times, *lengths, peak=found.peak, name="test.csv") if replayed else None
    asked = question(
        strategies=("ecs-gpu",),
        rate=found.rate,
        peak=found.peak,
        shape=found.shape,
        prompt=found.prompt,
        completion=found.completion,
        ttft_p99=0.04,
    )
    return dataclasses.replace(asked, recording=kept)


@cache
def layout() -> Rated:
    """One L4 in fp8: a step of some milliseconds."""
    rated, _ = rate(traced(even()))
    return next(
        one
        for one in rated
        if one.layout.accelerator.name == "l4" and one.layout.precision.name == "fp8"
        and one.layout.accelerators == 1
    )  # fmt: skip


def even() -> Floats:
    return np.arange(RATE * SECONDS) / RATE


def with_a_burst() -> Floats:
    """The same mean; a fifth of the requests come in two of the sixty seconds."""
    calm = poisson(RATE * SECONDS * 4 // 5, 0, SECONDS, 1)
    return np.sort(np.concatenate((calm, poisson(RATE * SECONDS // 5, 30, 2, 2))))


def copies(asked: Question) -> int:
    sized = Sizer(asked).size(layout())
    assert not sized.obstacles
    return sized.copies


def test_a_burst_needs_more_than_poisson_of_the_same_mean_and_evenness_less() -> None:
    drawn = copies(traced(even(), replayed=False))
    assert copies(traced(even())) < drawn < copies(traced(with_a_burst()))


def test_poisson_that_was_recorded_needs_what_poisson_that_is_drawn_needs() -> None:
    times = poisson(RATE * SECONDS, 0, SECONDS, 3)
    assert copies(traced(times)) == pytest.approx(copies(traced(times, replayed=False)), abs=2)


def test_a_confirmed_size_is_the_one_that_was_replayed() -> None:
    sizer = Sizer(traced(with_a_burst()))
    sized = sizer.size(layout())
    sure = sizer.confirm(sized)
    assert sure.copies == sized.copies
    assert sure.simulation is sized.simulation
    assert sure.capacity >= sizer.question.demand.peak
    fewer = sizer.trial(layout(), sized.copies - 1)
    assert broken_promises(sizer.question.demand, fewer)


def test_a_faster_trace_is_judged_by_its_own_clock() -> None:
    sizer = Sizer(traced(even()))
    peak = sizer.question.demand.peak
    calm, fast = (sizer.trial(layout(), 1, rate=factor * peak) for factor in (0.5, 1.0))
    assert calm.requests == pytest.approx(fast.requests, rel=0.01)
    assert calm.offered_s == pytest.approx(2 * fast.offered_s)


def test_what_a_cache_holds_is_not_read_and_an_encoder_answers_once() -> None:
    asked = traced(even())
    cached = dataclasses.replace(asked, assumptions=assume(["prefix.cached=0.5"]))
    whole, half = (Sizer(one).trial(layout(), 2).ttft for one in (asked, cached))
    assert whole is not None
    assert half is not None
    assert half.p50 < whole.p50
    reader = question("google-bert/bert-base-uncased", max_model_len=512)
    encoder = dataclasses.replace(asked, anatomy=reader.anatomy)
    assert Sizer(encoder).trial(layout(), 2).tpot is None


class TestTheBusiestStretch:
    def of(self, times: Floats) -> Recording:
        size = np.arange(1, len(times) + 1)
        return recording(times, size, size, peak=1.0, name="test")

    def test_it_is_where_most_requests_are(self) -> None:
        calm = np.arange(0, 3600, 2.0)
        found = self.of(np.sort(np.concatenate((calm, 1800 + np.arange(0, 60, 0.02)))))
        assert found.length_s == 60
        assert found.begin_s == pytest.approx(1800, abs=2)
        assert found.requests == pytest.approx(3030, abs=2)

    def test_it_grows_until_it_holds_enough(self) -> None:
        found = self.of(np.arange(0, 36_000, 1.0))
        assert LEAST_REQUESTS <= found.requests <= 2 * LEAST_REQUESTS
        assert self.of(np.arange(0, 500, 1.0)).requests == 500

    def test_it_shrinks_until_it_can_be_simulated(self) -> None:
        found = self.of(np.arange(0, 120, 0.001))
        assert found.requests <= MOST_REQUESTS
        assert found.length_s < 60

    def test_its_surroundings_are_played_and_not_judged(self) -> None:
        times = np.arange(0, 7200, 0.01)
        played = replay(dataclasses.replace(self.of(times), begin_s=600.0), around_s=20)
        assert played.warm_up_s == pytest.approx(20)
        assert played.judged_until_s == pytest.approx(80)
        assert played.requests.duration_s == pytest.approx(100)
        assert len(played.requests) == pytest.approx(10_000, abs=2)
        assert played.requests.prompt[0] == pytest.approx(58_001, abs=1)

    def test_at_the_trace_s_edges_there_is_less_around(self) -> None:
        played = replay(self.of(np.arange(0, 40, 0.1)), around_s=20)
        assert played.warm_up_s == 0
        assert played.judged_until_s == pytest.approx(40)
        assert len(played.requests) == 400

    @pytest.mark.parametrize("share", [0.5, 0.3, 0.04])
    def test_a_share_keeps_the_rhythm_and_the_lengths(self, share: float) -> None:
        found = self.of(np.arange(0, 60, 0.02))
        played = replay(found, share=share).requests
        assert len(played) == pytest.approx(3000 * share, abs=1)
        gaps = np.diff(played.times_s)
        assert np.ptp(gaps) < 0.021
        assert played.prompt.mean() == pytest.approx(1500, rel=0.05)
        assert (np.diff(played.prompt) >= 0).all()  # lengths stay near their times

    def test_images_are_part_of_the_prompt(self) -> None:
        played = replay(self.of(np.arange(0, 40, 0.1)), image_tokens=100, images=1).requests
        assert played.prompt[0] == 101
        assert played.images == 1

    def test_it_is_longer_on_request(self) -> None:
        longer = self.of(np.arange(0, 40, 0.1)).lengthened(1.5)
        assert longer.prompt[3] == 6
        assert longer.completion[0] == 2


def test_the_plan_says_what_was_replayed() -> None:
    asked = traced(with_a_burst())
    around = Circumstances(model="test", custom_weights=False)
    (note,) = [one for one in notes_on(asked, None, around) if "replayed" in one.text]
    assert "its whole trace: 9,000 requests at their own times" in note.text
    assert note.source == "test.csv"
    calm = np.arange(0, 3600, 2.0)
    part = traced(np.sort(np.concatenate((calm, 1800 + np.arange(0, 60, 0.02)))))
    (note,) = [one for one in notes_on(part, None, around) if "replayed" in one.text]
    assert "its busiest 1m, from 30m on" in note.text
    assert asked.demand.prompt == Lengths(p50=PROMPT, p99=PROMPT)
