"""What a spec's workload asks for."""

from __future__ import annotations

import numpy as np
import pytest

from pilotage.errors import UsageError
from pilotage.prove.arrivals import constant, for_workload, gamma, poisson
from pilotage.spec import WorkloadSpec


def workload(shape: str, **arrivals: str) -> WorkloadSpec:
    return WorkloadSpec.model_validate(
        {"arrivals": {"rate": "20/s", "peak": "80/s", "shape": shape, **arrivals}}
    )


def test_steady_work_is_poisson_at_the_peak() -> None:
    schedule = for_workload(workload("steady"), 60, 1)

    assert np.array_equal(schedule.times_s, poisson(80, 60, 1).times_s)
    assert schedule.description == "Poisson, 80/s (the spec's peak) for 1m"


def test_spiky_work_is_bursty_at_the_peak() -> None:
    schedule = for_workload(workload("spiky"), 60, 1)

    assert np.array_equal(schedule.times_s, gamma(80, 60, 0.25, 1).times_s)
    assert schedule.description == "gamma, burstiness 0.25, 80/s (the spec's peak) for 1m"


def test_batch_work_comes_evenly_at_the_average_rate() -> None:
    schedule = for_workload(workload("batch"), 60, 1)

    assert np.array_equal(schedule.times_s, constant(20, 60).times_s)
    assert schedule.description == "constant, 20/s (the spec's rate) for 1m"


def test_without_a_peak_the_rate_is_the_peak() -> None:
    spec = WorkloadSpec.model_validate({"arrivals": {"rate": "20/s"}})

    assert for_workload(spec, 60, 1).description == "Poisson, 20/s (the spec's rate) for 1m"


@pytest.mark.parametrize("shape", ["steady", "spiky", "batch"])
def test_a_rate_takes_the_place_of_the_specs(shape: str) -> None:
    schedule = for_workload(workload(shape), 100, 1, rate=5)

    assert schedule.rate == pytest.approx(5, rel=0.3)
    spec_says = "rate is 20/s" if shape == "batch" else "peak is 80/s"
    assert f"5/s (as given; the spec's {spec_says})" in schedule.description


@pytest.mark.parametrize("shape", ["steady", "spiky", "batch"])
def test_refuses_a_rate_of_zero(shape: str) -> None:
    with pytest.raises(UsageError, match="rate: got 0"):
        for_workload(workload(shape), 100, 1, rate=0)
