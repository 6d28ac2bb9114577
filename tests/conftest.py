"""Fixtures that several rooms share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from pilotage.fetch import fetch
from pilotage.spec.model import EMBEDDED_SHA256, EMBEDDED_SOURCE

# Machines are shared and slow at times: a time bound on an example says nothing of the code.
settings.register_profile("pilotage", deadline=None)
settings.load_profile("pilotage")


def pytest_configure() -> None:
    """Give each of several test processes (`pytest -n`) cores of its own.

    Engines that share a core with another's threads become ten times slower, not two.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None or not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    number, count = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.sched_setaffinity(0, cores[number % len(cores) :: count] or cores)


@pytest.fixture(scope="session")
def embedded_model() -> Path:
    """The GGUF file of the embedded default model, from Pilotage's cache once it is there."""
    return fetch(EMBEDDED_SOURCE, sha256=EMBEDDED_SHA256).path
