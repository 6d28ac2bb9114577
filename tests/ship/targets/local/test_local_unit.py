"""One process that a local supervisor keeps up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_shipments import STAND_IN

from pilotage.ship.targets.local.processes import Process
from pilotage.ship.targets.local.unit import TRIES, Unit


@pytest.fixture
def unit(tmp_path: Path, port: int) -> Iterator[Unit]:
    """A stand-in that is never ready, and may take no time for it."""
    folder = tmp_path / "revisions" / "first"
    folder.mkdir(parents=True)
    (folder / "one.json").write_text(json.dumps({"port": port, "says": "here", "ready": False}))
    process = Process(
        name="one",
        role="replica",
        spec="one.json",
        argv=("pilotage", "serve", "one.json"),
        address=f"http://127.0.0.1:{port}",
        health_path="/health/ready",
        log="one.log",
        grace_s=0,
        stop_s=20,
        environment={"PYTHONPATH": str(STAND_IN)},
    )
    made = Unit(process, "digest", folder)
    yield made
    if made.started is not None:
        made.started.kill_all()


def keep_up_until(unit: Unit, logs: Path, state: str) -> None:
    end = time.monotonic() + 30
    while unit.state != state:
        assert time.monotonic() < end, unit.state
        unit.keep_up(logs)
        time.sleep(0.02)


def test_what_does_not_get_ready_in_its_time_is_killed(unit: Unit, tmp_path: Path) -> None:
    keep_up_until(unit, tmp_path / "logs", "starting")
    started = unit.started
    assert started is not None
    keep_up_until(unit, tmp_path / "logs", "failing")
    assert unit.last == "was not ready after 0 s and was killed"
    assert unit.failures == 1
    assert started.child is not None
    started.child.wait(10)
    assert not started.alive()
    assert not unit.hopeless
    unit.failures = TRIES
    assert unit.hopeless


def test_a_successor_takes_over_what_runs(unit: Unit, tmp_path: Path) -> None:
    keep_up_until(unit, tmp_path / "logs", "starting")
    written: dict[str, Any] = json.loads(json.dumps(unit.as_dict()))
    heir = Unit.adopt(written)
    assert heir.process == unit.process
    assert heir.started is not None
    assert heir.started.child is None
    assert heir.started.alive()
    assert unit.started is not None
    unit.started.kill_all()
    assert unit.started.child is not None
    unit.started.child.wait(10)
    assert not heir.started.alive()
    assert heir.stop()
    assert Unit.adopt(written).started is None  # it has ended meanwhile
