"""``pilotage devices`` on this machine."""

from __future__ import annotations

import json
import os

import pytest

from pilotage.cli.devices import devices
from pilotage.errors import UsageError


def test_the_table_names_every_worker(capsys: pytest.CaptureFixture[str]) -> None:
    devices(workers=1, device="cpu", devices_per_worker=1, as_json=False)
    text = capsys.readouterr().out
    assert "memory" in text
    assert "worker  slice" in text
    assert "\n0       cpu:" in text


def test_json_has_the_machine_and_the_slices(capsys: pytest.CaptureFixture[str]) -> None:
    devices(workers=None, device="cpu", devices_per_worker=1, as_json=True)
    told = json.loads(capsys.readouterr().out)
    (slice_,) = told["slices"]
    assert set(slice_["cores"]) == os.sched_getaffinity(0)
    assert slice_["environment"]["OMP_NUM_THREADS"] == str(slice_["threads"])
    assert slice_["device_nodes"] == []
    cpus = {cpu for core in told["machine"]["cores"] for cpu in core["cpus"]}
    assert cpus == os.sched_getaffinity(0)


def test_more_workers_than_cores_are_refused() -> None:
    with pytest.raises(UsageError, match="workers for"):
        devices(workers=1024, device="cpu", devices_per_worker=1, as_json=False)
