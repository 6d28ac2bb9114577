"""Means, peaks and differences over looks at a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.prove.server_side.look import Look
from pilotage.prove.server_side.summary import increase, summarise

START = 1000.0
ONE = (("worker", "0"),)
TWO = (("worker", "1"),)


def look(at: float, **fields: object) -> Look:
    """A look so many seconds after the start; counters of a single series."""
    counted = {
        name: {(): value if isinstance(value, tuple) else (value,)}
        for name in ("cpu", "tokens", "steps", "sequences", "queue", "ttft")
        if (value := fields.pop(name, None)) is not None
    }
    return Look(at=START + at, kind="vllm", counted=counted, **fields)  # type: ignore[arg-type]


def side(looks: list[Look], from_s: float, to_s: float):
    return summarise(
        looks, source="http://host/metrics", start=START, from_s=from_s, to_s=to_s, missing="gone"
    )


def test_gauges_are_averaged_over_the_measured_part_only() -> None:
    looks = [
        look(0, running=100.0, gpu=1.0),
        look(1, running=4.0, waiting=0.0, kv_usage=0.5, gpu=0.5),
        look(2, running=8.0, waiting=3.0, kv_usage=0.7),
        look(3, running=100.0),
    ]
    found = side(looks, 0.5, 2.5)
    assert found.kind == "vllm"
    assert found.missing is None
    assert [sample.at for sample in found.samples] == [0, 1, 2, 3]
    assert found.mean is not None
    assert found.peak is not None
    assert (found.mean.running, found.mean.waiting, found.mean.gpu) == (6, 1.5, 0.5)
    assert found.mean.kv_usage == pytest.approx(0.6)
    assert (found.peak.running, found.peak.waiting, found.peak.kv_usage) == (8, 3, 0.7)
    assert (found.mean.cpu, found.mean.batch_size, found.queue_mean) == (None, None, None)


def test_counters_are_differences() -> None:
    looks = [
        look(0, cpu=50.0, tokens=0.0, steps=0.0, sequences=0.0),
        look(1, cpu=51.0, tokens=10.0, steps=10.0, sequences=10.0),
        look(2, cpu=53.0, tokens=90.0, steps=20.0, sequences=90.0),
        look(4, cpu=53.0, tokens=90.0, steps=20.0, sequences=90.0),
    ]
    found = side(looks, 0, 4)
    assert [sample.cpu for sample in found.samples] == [None, 1, 2, 0]
    assert [sample.output_tokens_rate for sample in found.samples] == [None, 10, 80, 0]
    # No step, no batch: nobody knows what its size would have been.
    assert [sample.batch_size for sample in found.samples] == [None, 1, 8, None]
    assert found.mean is not None
    assert found.peak is not None
    assert (found.mean.cpu, found.mean.output_tokens_rate) == (0.75, 22.5)
    assert found.mean.batch_size == 4.5
    assert (found.peak.cpu, found.peak.output_tokens_rate, found.peak.batch_size) == (2, 80, 8)


def test_histograms_reach_from_the_look_before_to_the_look_after() -> None:
    looks = [
        look(0, queue=(5.0, 10.0), ttft=(8.0, 10.0)),
        look(1, queue=(6.0, 20.0), ttft=(9.0, 20.0)),
        look(2, queue=(7.0, 22.0), ttft=(11.0, 22.0)),
        look(3, queue=(10.0, 30.0), ttft=(14.0, 30.0)),
        look(4, queue=(99.0, 99.0), ttft=(99.0, 99.0)),
    ]
    found = side(looks, 1.5, 2.5)
    assert found.queue_mean == pytest.approx(4 / 10)
    assert found.ttft_mean == pytest.approx(5 / 10)


def test_a_server_that_answered_nothing_meanwhile_has_no_mean_latency() -> None:
    assert side([look(0, queue=(5.0, 10.0)), look(1, queue=(5.0, 10.0))], 0, 1).queue_mean is None


def test_a_server_that_was_started_again_counts_from_zero() -> None:
    looks = [
        look(0, cpu=50.0, queue=(30.0, 10.0)),
        look(1, cpu=52.0, queue=(40.0, 20.0)),
        look(2, cpu=1.0, queue=(41.0, 2.0)),  # the sum is larger all the same
        look(3, cpu=2.0, queue=(42.0, 4.0)),
    ]
    assert increase(looks, "cpu") == (4.0,)
    assert increase(looks, "queue") == (52.0, 14.0)


def test_one_worker_of_two_is_started_again_and_a_third_is_new() -> None:
    before = Look(at=0.0, counted={"cpu": {ONE: (10.0,), TWO: (10.0,)}})
    after = Look(at=1.0, counted={"cpu": {ONE: (1.0,), TWO: (11.0,), (): (0.5,)}})
    assert increase([before, after], "cpu") == (2.5,)
    assert increase([after], "cpu") is None
    assert increase([before, after], "tokens") is None


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=20))
def test_growth_is_never_negative_and_never_more_than_was_counted(values: list[float]) -> None:
    looks = [look(at, cpu=value) for at, value in enumerate(values)]
    grown = increase(looks, "cpu")
    assert grown is not None
    assert 0 <= grown[0] <= sum(values)
    if values == sorted(values):
        assert grown[0] == pytest.approx(values[-1] - values[0], abs=1e-6)


def test_without_a_look_the_reason_is_told() -> None:
    found = side([], 0, 10)
    assert (found.missing, found.mean, found.samples) == ("gone", None, ())


def test_looks_outside_the_measured_part_are_shown_and_not_averaged() -> None:
    found = side([look(-5, running=9.0), look(1, running=9.0)], 2, 3)
    assert [sample.at for sample in found.samples] == [1]
    assert (found.mean, found.peak) == (None, None)
    assert found.missing == "no look fell into the measured part"
