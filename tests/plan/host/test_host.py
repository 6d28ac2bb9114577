"""This machine: measured, fitted from steps, kept in a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.catalog.accelerators import Accelerator
from pilotage.catalog.anatomies import known_anatomy
from pilotage.errors import StoreError, UsageError
from pilotage.plan.host import (
    HostCalibration,
    fit_host,
    host_precision,
    measure_bandwidth,
    measure_flops,
)
from pilotage.plan.roofline import Efficiency, RooflineModel
from pilotage.plan.step_model import Batch

HOST = Accelerator(
    name="host", title="this machine", memory_bytes=8 << 30, bandwidth=14e9, fp16=50e9
)
BATCHES = [
    Batch(prefill_tokens=n, prefill_context=n * (n + 1) / 2) for n in (32, 128, 256, 512)
] + [Batch(decode_seqs=n, decode_context=100.0 * n) for n in (1, 2, 8, 32)]


def model() -> RooflineModel:
    anatomy = known_anatomy("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert anatomy is not None
    return RooflineModel(anatomy, host_precision(anatomy), HOST)


def test_openvinos_cache_becomes_bytes_a_value() -> None:
    anatomy = known_anatomy("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert anatomy is not None
    assert anatomy.kv_values(1) * host_precision(anatomy).kv_bytes == pytest.approx(13_680)


def test_the_machine_can_be_measured() -> None:
    assert measure_bandwidth(1, rounds=1, values=1 << 14) > 0
    assert measure_flops(rounds=1, side=64) > 0


@given(
    bandwidth=st.floats(0.3, 1.0),
    compute=st.floats(0.1, 1.0),
    step=st.floats(1e-4, 5e-3),
    sequence=st.floats(1e-5, 5e-4),
)
def test_steps_made_by_an_efficiency_are_predicted_by_the_fit(
    bandwidth: float, compute: float, step: float, sequence: float
) -> None:
    truth = Efficiency(
        bandwidth=bandwidth,
        compute=compute,
        experts=1.0,
        activations=0.0,
        step_s=step,
        sequence_s=sequence,
    )
    real = model().with_efficiency(truth)
    found = fit_host(model(), [(batch, real.step_s(batch)) for batch in BATCHES], "a test")
    assert found.error < 0.03
    again = RooflineModel(real.anatomy, real.precision, found.device, efficiency=found.efficiency)
    for batch in BATCHES:
        assert again.step_s(batch) == pytest.approx(real.step_s(batch), rel=0.1)
        assert again.floor_s(batch) <= again.step_s(batch)


def test_steps_faster_than_the_measured_machine_raise_its_figures() -> None:
    fast = model().with_efficiency(
        Efficiency(bandwidth=2.5, compute=3.0, experts=1.0, activations=0.0, step_s=1e-3)
    )
    found = fit_host(model(), [(batch, fast.step_s(batch)) for batch in BATCHES], "a test")
    assert found.device.fp16 > 2 * HOST.fp16
    assert found.efficiency.compute == 1.0


def test_steps_without_a_duration_are_refused() -> None:
    with pytest.raises(UsageError):
        fit_host(model(), [], "a test")
    with pytest.raises(UsageError):
        fit_host(model(), [(BATCHES[0], 0.0)], "a test")


def test_a_calibration_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "home" / "host.json"
    assert HostCalibration.load(path) is None
    kept = HostCalibration(
        machine="a processor",
        cores=2,
        date="2026-11-22",
        model="SmolLM2",
        engine="openvino",
        device=HOST,
        efficiency=Efficiency(bandwidth=0.5, compute=0.5),
        error=0.02,
    )
    kept.save(path)
    assert HostCalibration.load(path) == kept
    dataclasses.replace(kept, cores=4).save(path)
    assert HostCalibration.load(path) != kept


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', '{"version": 1, "cores": 2}'])
def test_a_file_of_another_kind_says_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "host.json"
    path.write_text(text)
    with pytest.raises(StoreError, match="calibrate again"):
        HostCalibration.load(path)
