"""Fixtures that several rooms share."""

import gc
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from pilotage.fetch import fetch
from pilotage.spec.model import EMBEDDED_SHA256, EMBEDDED_SOURCE

# Machines are shared and slow at times: a time bound on an example says nothing of the code.
# `make test` looks at few examples a run, `make test-thorough` at many.
settings.register_profile("pilotage", deadline=None, max_examples=40)
settings.register_profile("thorough", deadline=None, max_examples=400)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "pilotage"))


_ALL_CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def pytest_configure() -> None:
    """Give each of several test processes (`pytest -n`) cores of its own.

    Engines that share a core with another's threads become ten times slower, not two.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None or not _ALL_CORES:
        return
    cores = sorted(_ALL_CORES)
    number, count = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.sched_setaffinity(0, cores[number % len(cores) :: count] or cores)


_LONG = ("serve/test_", "engines/", "cli/", "fetch/transfer/", "ship/", "prove/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that no process is left alone with one at the end."""
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(here).as_posix()
        return next((i for i, start in enumerate(_LONG) if name.startswith(start)), len(_LONG))

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Leave what was imported out of garbage collections, and collect less often.

    Going through the objects of a hundred libraries took every tenth second of a run.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Lend a test that is marked `whole_machine` every core, its fixtures included."""
    if not _ALL_CORES or item.get_closest_marker("whole_machine") is None:
        return (yield)
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _ALL_CORES)
    try:
        return (yield)
    finally:
        os.sched_setaffinity(0, own)


@pytest.fixture(scope="session")
def embedded_model() -> Path:
    """The GGUF file of the embedded default model, from Pilotage's cache once it is there."""
    return fetch(EMBEDDED_SOURCE, sha256=EMBEDDED_SHA256).path
