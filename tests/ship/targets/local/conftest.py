"""Fixtures of local deployments."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))  # for local_shipments

from local_shipments import free_ports, processes_of


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Pilotage home of the test's own; what still runs of it at the end is killed."""
    folder = tmp_path / "home"
    monkeypatch.setenv("PILOTAGE_HOME", str(folder))
    monkeypatch.delenv("PILOTAGE_SOURCE", raising=False)
    yield folder
    while left := processes_of(folder):  # a supervisor may just have started another
        for one in left:
            with suppress(psutil.Error):
                one.kill()


@pytest.fixture
def port() -> int:
    """The first of three free ports in a row."""
    return free_ports()
