import json
from typing import Any

import pytest

from pilotage.route.handler.event import LAMBDA_PAYLOAD, EventKind
from pilotage.route.handler.refusal import Refusal
from pilotage.route.handler.reply import Reply, in_form

HTTP_KINDS = [EventKind.FUNCTION_URL, EventKind.HTTP_API, EventKind.REST_API]


@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_http_kinds_get_status_headers_and_a_text(kind: EventKind) -> None:
    response = in_form(Reply(body={"a": "ü"}, headers={"x-a": "1"}), kind)
    assert response == {
        "statusCode": 200,
        "headers": {"content-type": "application/json", "x-a": "1"},
        "body": '{"a":"ü"}',
        "isBase64Encoded": False,
    }
    events = in_form(Reply(body={}, events="data: [DONE]\n\n"), kind)
    assert events["headers"]["content-type"] == "text/event-stream"
    assert events["body"] == "data: [DONE]\n\n"


def test_a_direct_caller_gets_the_object_and_an_error_with_its_status() -> None:
    assert in_form(Reply(body={"a": 1}), EventKind.DIRECT) == {"a": 1}
    refusal = Refusal("No.", status=404, code="not_found", param="x")
    response = in_form(Reply.of(refusal), EventKind.DIRECT)
    assert response == {
        "error": {
            "message": "No.",
            "type": "invalid_request_error",
            "param": "x",
            "code": "not_found",
            "status": 404,
        }
    }


@pytest.mark.parametrize("kind", list(EventKind))
@pytest.mark.parametrize("letter", ["x", "ü", "😀", "\n"])
def test_an_answer_too_large_for_lambda_is_an_error_and_never_cut(
    kind: EventKind, letter: str
) -> None:
    letters = LAMBDA_PAYLOAD // len(json.dumps(letter)[1:-1])
    body = {"content": letter * letters, "pilotage": {"cost_usd": "0.5"}}
    response = in_form(Reply(body=body, headers={"x-pilotage-cost-usd": "0.5"}), kind)
    assert len(json.dumps(response)) < 2000
    error: dict[str, Any] = (
        response["error"] if kind is EventKind.DIRECT else json.loads(response["body"])["error"]
    )
    assert error["code"] == "answer_too_large"
    assert "max_tokens" in error["message"]
    # It was paid for all the same.
    if kind is EventKind.DIRECT:
        assert response["pilotage"] == body["pilotage"]
    else:
        assert response["statusCode"] == 502
        assert response["headers"]["x-pilotage-cost-usd"] == "0.5"


@pytest.mark.parametrize("kind", list(EventKind))
def test_an_answer_that_just_fits_is_whole(kind: EventKind) -> None:
    body = {"content": "x" * (LAMBDA_PAYLOAD - 10_000)}
    response = in_form(Reply(body=body), kind)
    whole = response if kind is EventKind.DIRECT else json.loads(response["body"])
    assert whole == body


def test_retry_after_is_whole_seconds_rounded_up() -> None:
    reply = Reply.of(Refusal("Later.", status=429, code="rate_limited", retry_after_s=1.2))
    assert reply.headers == {"retry-after": "2"}
    assert reply.body["error"]["type"] == "rate_limit_error"
