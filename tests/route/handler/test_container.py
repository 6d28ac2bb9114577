"""The container in this process: what does not need Lambda's runtime to be seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from handler_models import ModelServer, Said
from handler_spec import HELLO, SMALL_COST, error_of, spec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lambda_events import function_url, http_api, rest_api

from pilotage.errors import PilotageError
from pilotage.route import handler as package
from pilotage.route.handler import Container, handler

Made = Callable[..., Container]


@dataclass
class Context:
    aws_request_id: str = "r-1"
    millis: int = 60_000

    def get_remaining_time_in_millis(self) -> int:
        return self.millis


@pytest.fixture
def small() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def large() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def made(small: ModelServer, large: ModelServer, tmp_path: Path) -> Iterator[Made]:
    """Makes containers over the two servers, and closes them."""
    containers = []

    def make(text: str | None = None, *, environ: dict[str, str] | None = None) -> Container:
        path = tmp_path / "spec.yaml"
        path.write_text(spec(small, large) if text is None else text)
        container = Container({"PILOTAGE_SPEC": str(path), **(environ or {})})
        containers.append(container)
        return container

    yield make
    for container in containers:
        container.close()


@pytest.mark.parametrize(("answered", "status"), [(500, 502), (401, 502), (429, 429), (503, 503)])
def test_backends_that_fail(
    made: Made, small: ModelServer, large: ModelServer, answered: int, status: int
) -> None:
    small.say = large.say = lambda _: Said(status=answered)
    for event in (function_url(body=HELLO), rest_api(body=HELLO), HELLO):
        error_of(made().answer(event, Context()), status)


def test_a_failure_says_what_it_cost(made: Made, small: ModelServer, large: ModelServer) -> None:
    # The draft is paid for, and then nobody is there.
    small.say = lambda _: Said('{"broken', finish_reason="length")
    large.say = lambda _: Said("x" * (7 << 20))
    response = made().answer({**HELLO, "response_format": {"type": "json_object"}}, Context())
    assert response["error"]["code"] == "answer_too_large"
    assert response["pilotage"]["cost_usd"] == "0.000176"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [", "spec.yaml"),
        ("name: test", "routing"),
        (
            "name: test\nrouting: {tiers: [{name: a, price: {input: 1, output: 1}, backends: "
            "[{kind: openai, url: 'http://127.0.0.1:1/v1', model: m, api_key_env: NO_KEY}]}]}",
            "NO_KEY",
        ),
        ("name: test\nrouting: {tiers: [{name: a, price: {input: 1, output: 1}, backends: "
         "[{kind: local}]}]}", "local"),
        ("deployments: [{name: a}, {name: b}]", "a, b"),
    ],
)  # fmt: skip
def test_specs_that_no_function_can_be_made_of(made: Made, text: str, words: str) -> None:
    with pytest.raises(PilotageError) as caught:
        made(text)
    assert words in str(caught.value)


def test_a_policy_that_was_not_measured_does_not_start(
    made: Made, small: ModelServer, large: ModelServer
) -> None:
    with pytest.raises(PilotageError, match="has not been shown to beat"):
        made(spec(small, large, force=False))


def test_one_deployment_of_a_portfolio(made: Made, small: ModelServer, large: ModelServer) -> None:
    deployment = json.loads(spec(small, large))
    text = json.dumps({"deployments": [{"name": "other"}, deployment]})
    container = made(text, environ={"PILOTAGE_DEPLOYMENT": "test"})
    assert container.answer({"health": 1}, None)["status"] == "ok"


def test_an_endpoint_that_is_not_wanted_is_not_there(made: Made) -> None:
    container = made(environ={"PILOTAGE_ENDPOINTS": "moderate"})
    error = error_of(container.answer(function_url(body=HELLO), Context()), 404)
    assert error["message"].endswith("/health, /moderate, /v1/models.")
    assert made(environ={"PILOTAGE_ENDPOINTS": "chat"}).answer(HELLO, None)["choices"]


def test_the_verdict_on_failure_is_the_functions(
    made: Made, small: ModelServer, large: ModelServer
) -> None:
    small.say = large.say = lambda _: Said("SAFE")
    container = made(environ={"PILOTAGE_MODERATION_FAILED": "WARN"})
    assert container.answer({"text": "Hi"}, None)["verdict"] == "WARN"


def test_the_bodys_bound_in_the_spec_counts_where_it_is_given(
    made: Made, small: ModelServer, large: ModelServer
) -> None:
    bounded = {**json.loads(spec(small, large)), "serving": {"max_body": "64KiB"}}
    event = {"prompt": "x" * 70_000}
    error_of(made(json.dumps(bounded)).answer(event, None), 413)
    assert made().answer(event, None)["usage"]


def test_no_tier_is_asked_when_no_time_is_left(made: Made, small: ModelServer) -> None:
    assert error_of(made().answer(HELLO, Context(millis=0)), 504)["code"] == "timeout"
    assert small.asked == []


@pytest.mark.parametrize(
    ("make", "status"), [(rest_api, 504), (http_api, 504), (function_url, 200)]
)
def test_api_gateway_does_not_wait_as_long_as_lambda(
    made: Made, small: ModelServer, large: ModelServer, make: Any, status: int
) -> None:
    small.say = large.say = lambda _: Said(after_s=1.3)
    container = made(environ={"PILOTAGE_API_TIMEOUT": "1s"})
    assert container.answer(make(body=HELLO), Context())["statusCode"] == status


def test_what_nobody_expects_shows_nothing(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    container = made()

    def breaks(*_: Any) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("pilotage.route.handler.application.read_chat", breaks)
    error = error_of(container.answer(function_url(body=HELLO), Context()), 500)
    assert error["message"].endswith("under the request id r-1.")
    line = next(
        json.loads(line) for line in capsys.readouterr().out.splitlines() if "failure" in line
    )
    assert line["error"] == "ZeroDivisionError"
    assert "breaks" in line["at"][-1]
    assert "secret" not in json.dumps(line)


def test_a_function_that_is_not_configured_answers_in_the_events_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PILOTAGE_SPEC", raising=False)
    error_of(handler(function_url(body=HELLO), Context()), 500)
    error_of(handler(HELLO), 500)
    assert "PILOTAGE_SPEC" in capsys.readouterr().out


def test_the_container_is_built_once(
    made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made()  # writes the spec
    kept: list[Container] = []
    monkeypatch.setattr(package, "_kept", kept)
    monkeypatch.setenv("PILOTAGE_SPEC", str(tmp_path / "spec.yaml"))
    assert handler(HELLO)["pilotage"]["cost_usd"] == SMALL_COST
    (container,) = kept
    handler(HELLO)
    assert kept == [container]
    container.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
BODIES = (
    st.sampled_from(
        [
            HELLO,
            {"text": "Hi"},
            {"texts": ["a", "b"]},
            {"messages": [], "stream": True},
            {**HELLO, "stream": True},
        ]
    ).map(json.dumps)
    | JSON.map(json.dumps)
    | st.text(max_size=20)
)
EVENTS = st.builds(
    lambda make, path, body, method: make(path, body, method=method),
    st.sampled_from([function_url, http_api, rest_api]),
    st.sampled_from(["/v1/chat/completions", "/moderate", "/health", "/v1/models", "", "/x"]),
    BODIES,
    st.sampled_from(["GET", "POST", "OPTIONS", ""]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(events=st.lists(EVENTS | JSON, min_size=5, max_size=5))
def test_every_event_gets_a_response_of_its_kind(container: Container, events: list[Any]) -> None:
    for event in events:
        response = container.answer(event, Context())
        json.dumps(response)
        if isinstance(event, dict) and "requestContext" in event:
            assert set(response) == {"statusCode", "headers", "body", "isBase64Encoded"}
            assert 200 <= response["statusCode"] < 600
            assert all(
                isinstance(name, str) and isinstance(value, str)
                for name, value in response["headers"].items()
            )
            assert isinstance(response["body"], str)
            assert response["headers"]["x-request-id"] == "r-1"
            if response["headers"]["content-type"] == "application/json":
                assert ("error" in json.loads(response["body"])) == (response["statusCode"] >= 400)
        else:
            assert ("error" in response) != ("usage" in response or "status" in response)


@pytest.fixture
def container(made: Made) -> Container:
    return made()
