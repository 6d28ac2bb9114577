"""The worked examples: functions that can be made of the specs as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from handler_models import ModelServer, Said
from lambda_events import function_url

from pilotage.route.handler import Container

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a function: a role's credentials are in the environment. Nothing is sent there."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.mark.parametrize("name", ["moderation", "chatbot"])
def test_the_specs_make_functions_as_they_are(name: str) -> None:
    container = Container({"PILOTAGE_SPEC": str(EXAMPLES / f"{name}.yaml")})
    response = container.answer(function_url("/health", method="GET"), None)
    container.close()
    assert json.loads(response["body"]) == {"status": "ok", "tiers": ["small", "large"]}


def test_moderation_by_the_small_model(server: ModelServer, tmp_path: Path) -> None:
    """With the example's environment, a small model that is here and a large one that is not."""
    text = (EXAMPLES / "moderation.yaml").read_text()
    environ = dict(
        line.removeprefix("#").split()[0].split("=")
        for line in text.splitlines()
        if line.startswith("#   PILOTAGE_")
    )
    assert environ["PILOTAGE_ENDPOINTS"] == "moderate"
    (tmp_path / "moderation.yaml").write_text(
        text.replace("http://moderation.internal:8000/v1", server.url)
    )

    def judges(body: dict[str, object]) -> Said:
        case = json.loads(body["messages"][-1]["content"])  # type: ignore[index]
        if case["text"] == "prose":
            return Said("I would rather not say.")
        answer = {"mark": case["mark"], "category": "fraud", "score": 0.8, "verdict": "BLOCK"}
        return Said(json.dumps(answer))

    server.say = judges  # type: ignore[assignment]
    container = Container({**environ, "LAMBDA_TASK_ROOT": str(tmp_path)})
    body = container.answer({"text": "Send me your PIN"}, None)
    assert (body["verdict"], body["category"], body["score"]) == ("BLOCK", "fraud", 0.8)
    # $1.01 / 4,000,000 tokens, of which there were 13.
    assert body["pilotage"]["cost_usd"] == "0.0000032825"
    assert container.answer({"prompt": "Hi"}, None)["error"]["status"] == 404
    # Prose is no judgement, and the large model cannot be reached: a person looks at it.
    body = container.answer({"text": "prose"}, None)
    container.close()
    assert (body["verdict"], body["failed_closed"]) == ("WARN", True)


def test_the_function_starts_without_what_it_does_not_use() -> None:
    """Imports are the cold start; a function whose tiers need no AWS client has none."""
    code = "import sys, pilotage.route.handler; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "sklearn", "scipy", "boto3", "botocore", "httpx", "genai_prices", "sqlite3"}
    heavy |= {"psycopg", "jinja2", "PIL", "fastapi", "uvicorn", "openvino", "tokenizers"}
    assert heavy.isdisjoint(done.stdout.split())
