"""Makes the helpers beside the tests importable, and gives each test an AWS of its own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from aws_front import Front, quota, running_front  # noqa: E402
from model_server import ModelServer, running_model  # noqa: E402


@pytest.fixture(scope="session")
def whole_session() -> Iterator[Front]:
    with running_front() as front:
        yield front


@pytest.fixture
def front(whole_session: Front, monkeypatch: pytest.MonkeyPatch) -> Front:
    """moto over HTTP, empty, with quotas that are large enough."""
    front = whole_session
    for name, value in front.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PILOTAGE_API_KEY", raising=False)
    front.reset()
    front.answers["GetServiceQuota"] = quota(256)
    return front


@pytest.fixture
def model() -> Iterator[ModelServer]:
    """An endpoint that completes."""
    with running_model() as server:
        yield server
