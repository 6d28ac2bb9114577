import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import function_url, http_api, rest_api

from pilotage.route.handler.event import LAMBDA_PAYLOAD, EventKind, Request, kind_of, read_event
from pilotage.route.handler.refusal import Refusal

HELLO = {"messages": [{"role": "user", "content": "Grüße"}]}


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (function_url(body=HELLO), EventKind.FUNCTION_URL),
        (http_api(body=HELLO), EventKind.HTTP_API),
        (rest_api(body=HELLO), EventKind.REST_API),
        (HELLO, EventKind.DIRECT),
        ({"requestContext": {"http": 1}, "prompt": "Hi"}, EventKind.DIRECT),
        ({"version": "2.0"}, EventKind.DIRECT),
        ([], EventKind.DIRECT),
        (None, EventKind.DIRECT),
    ],
)
def test_kinds(event: Any, kind: EventKind) -> None:
    assert kind_of(event) is kind


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("make", [function_url, http_api, rest_api])
def test_a_request_is_the_same_in_every_event(make: Any, encoded: bool) -> None:
    event = make("/v1/chat/completions/", HELLO, headers={"X-Mixed-CASE": "1"}, encoded=encoded)
    request = read_event(event)
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert json.loads(request.body) == HELLO
    assert request.headers == {"content-type": "application/json", "x-mixed-case": "1"}


@pytest.mark.parametrize(
    ("event", "method", "path"),
    [
        ({"prompt": "Hi"}, "POST", "/v1/chat/completions"),
        ({"messages": []}, "POST", "/v1/chat/completions"),
        ({"text": "Hi"}, "POST", "/moderate"),
        ({"texts": ["Hi"]}, "POST", "/moderate"),
        ({"health": True}, "GET", "/health"),
        ({}, "POST", "/v1/chat/completions"),
    ],
)
def test_a_direct_event_says_by_its_fields_what_it_wants(
    event: dict[str, Any], method: str, path: str
) -> None:
    request = read_event(event)
    assert (request.method, request.path) == (method, path)
    assert json.loads(request.body) == event


@pytest.mark.parametrize(
    ("event", "base_path", "path"),
    [
        (http_api("/moderate", stage="prod"), "", "/moderate"),
        (http_api("/moderate", stage="prod"), "/models", "/moderate"),
        (http_api("/models/moderate", stage="prod"), "/models", "/moderate"),
        (http_api("/models", stage="prod"), "/models", "/"),
        (http_api("/modelsmoderate"), "/models", "/modelsmoderate"),
        (rest_api("/models/moderate"), "/models", "/moderate"),
        # A function URL has no stage: what looks like one is part of the path.
        (function_url("/$default/moderate"), "", "/$default/moderate"),
        # No other prefix is cut: rules about paths, in front of the function, stay true.
        (function_url("/public/moderate"), "", "/public/moderate"),
        (function_url("//moderate"), "", "//moderate"),
    ],
)
def test_only_stage_and_base_path_are_cut(event: dict[str, Any], base_path: str, path: str) -> None:
    assert read_event(event, base_path=base_path).path == path


def test_headers_that_came_several_times() -> None:
    event = rest_api(body=HELLO)
    event["headers"] = None
    event["multiValueHeaders"] = {"Content-Type": ["text/plain", "application/json"], "X": []}
    assert read_event(event).headers == {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (function_url(body="x" * (LAMBDA_PAYLOAD + 1)), 413),
        (rest_api(body="x" * (LAMBDA_PAYLOAD + 1), encoded=True), 413),
        (http_api(body="ü" * (LAMBDA_PAYLOAD // 2 + 1)), 413),
        ({"prompt": "x" * LAMBDA_PAYLOAD}, 413),
        ({**rest_api(), "body": "%%%", "isBase64Encoded": True}, 400),
        ({**rest_api(), "body": "ü", "isBase64Encoded": True}, 400),
        ({**rest_api(), "body": {"a": 1}}, 400),
        ({**rest_api(), "body": "\ud800"}, 400),
        ({"prompt": "\ud800"}, 400),
        ("text", 400),
        (None, 400),
    ],
)
def test_what_cannot_be_read_is_refused(event: Any, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        read_event(event)
    assert caught.value.status == status
    assert "xxx" not in caught.value.message


def test_the_largest_body_is_taken() -> None:
    body = "x" * LAMBDA_PAYLOAD
    assert len(read_event(function_url(body=body)).body) == LAMBDA_PAYLOAD
    assert len(read_event(function_url(body=body, encoded=True)).body) == LAMBDA_PAYLOAD


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def bent_events(draw: st.DrawFn) -> Any:
    """Events of all kinds in which some values were replaced by others."""
    event: Any = draw(
        st.sampled_from([function_url(body=HELLO), http_api(body=HELLO, stage="s"), rest_api()])
    )
    event = json.loads(json.dumps(event))
    for _ in range(draw(st.integers(0, 3))):
        where = event
        while True:
            name = draw(st.sampled_from(sorted(where)))
            if not isinstance(where[name], dict) or not where[name] or draw(st.booleans()):
                where[name] = draw(JSON)
                break
            where = where[name]
    return event


@given(bent_events() | JSON)
def test_no_event_does_more_than_be_refused(event: Any) -> None:
    try:
        request = read_event(event)
    except Refusal as refusal:
        assert 400 <= refusal.status < 500
        return
    assert isinstance(request, Request)
    assert request.kind is kind_of(event)
    assert request.path
    assert isinstance(request.method, str)
    assert all(isinstance(value, str) for value in request.headers.values())


@given(st.binary(max_size=200))
def test_base64_bodies_come_out_as_they_were(body: bytes) -> None:
    event = {**rest_api(), "body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    assert read_event(event).body == body
