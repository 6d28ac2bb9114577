"""Schemathesis over our own OpenAPI, against the real server with the real model.

The context is short, so that whatever is asked for is generated in a moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from running import RunningServer, serving
from schemathesis.specs.openapi.checks import positive_data_acceptance

MODEL = "SmolLM2-135M-Instruct"
FEW, MANY = 12, 150
QUIET = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.explicit, Phase.generate],
}


@pytest.fixture(scope="module")
def server(embedded_model: Path) -> Iterator[RunningServer]:
    assert embedded_model.exists()
    with serving("--max-model-len", "48", "--ttft-p99", "300s", "--max-n", "2") as running:
        yield running


@pytest.fixture(scope="module")
def api(server: RunningServer) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{server.base}/openapi.json")


def check(case: schemathesis.Case, server: RunningServer) -> None:
    """No 5xx, nothing the document does not say, and every error an OpenAI error object."""
    # Nearly every made-up model name is an unknown one: the test is to get further than that.
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = MODEL
    # What a schema allows may still be refused: a model that is not served, a text too long.
    response = case.call_and_validate(timeout=60, excluded_checks=[positive_data_acceptance])
    if response.status_code >= 400 and not case.path.startswith(("/health", "/ping")):
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
    assert server.process.poll() is None


def check_everything(api: schemathesis.BaseSchema, server: RunningServer, examples: int) -> int:
    """Check every operation with so many cases; returns how many operations there are."""
    checked = 0
    for found in api.get_all_operations():
        operation = found.ok()

        @settings(max_examples=examples, **QUIET)  # type: ignore[arg-type]
        @given(case=operation.as_strategy())
        def one(case: schemathesis.Case) -> None:
            check(case, server)

        one()
        checked += 1
    return checked


@pytest.mark.timeout(600)
def test_a_few_of_everything(api: schemathesis.BaseSchema, server: RunningServer) -> None:
    assert check_everything(api, server, FEW) >= 13


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_much_of_everything(api: schemathesis.BaseSchema, server: RunningServer) -> None:
    assert check_everything(api, server, MANY) >= 13
