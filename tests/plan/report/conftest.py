"""Helpers that tests of a plan's views import by name."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `samples`
sys.path.insert(0, str(Path(__file__).parents[2] / "prove" / "report"))  # for `chromium`

from chromium import Browser, browsing


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("chromium")) as running:
        yield running
