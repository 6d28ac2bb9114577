"""Completions from a real server over HTTP."""

import json
import socket
import urllib.request
from dataclasses import replace

import boto3
import pytest
from aws_front import REGION, Front, Reply
from life import Witness, lifecycle
from model_server import COMPLETION, ModelServer

from pilotage.errors import TargetError, UsageError
from pilotage.ship.lifecycle.asking import (
    BusyError,
    HttpEndpoint,
    UnreachableError,
    ask,
    await_answer,
    signed,
    smoke,
)
from pilotage.ship.lifecycle.sagemaker_endpoints import AsyncEndpoint, SageMakerEndpoint
from pilotage.ship.lifecycle.waiting import TooLongError, Waiting

SOON = Waiting(poll_s=0.001, limit_s=5)


def test_tokens_a_second_are_those_of_the_answers(model: ModelServer) -> None:
    model.replies = [(200, COMPLETION), (500, {}), (200, COMPLETION)]
    endpoint = HttpEndpoint(address=f"{model.url}/v1/")
    done = smoke(endpoint, "m", count=3, max_tokens=32, weights=("host: 1 GiB",))
    assert (done.answers, done.tokens, len(done.failures)) == (2, 16, 1)
    assert done.tokens_per_s == pytest.approx(16 / done.seconds)
    assert done.as_dict()["weights"] == ("host: 1 GiB",)
    assert model.asked[0]["body"]["max_tokens"] == 32
    assert model.asked[0]["body"]["model"] == "m"


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"choices": []},
        {"choices": [{"message": {"content": ""}}]},
        {"choices": [{"message": {"content": "  "}}], "usage": {"completion_tokens": 0}},
        ["no", "object"],
    ],
)
def test_what_is_no_completion_is_no_answer(model: ModelServer, reply: object) -> None:
    model.replies = [(200, reply)]
    with pytest.raises(TargetError):
        await_answer(HttpEndpoint(address=model.url), "m", say=Witness().say, waiting=SOON)
    assert len(model.asked) == 1


def test_a_model_that_reasons_first_has_answered(model: ModelServer) -> None:
    model.replies = [
        (200, {"choices": [{"message": {"content": None}}], "usage": {"completion_tokens": 16}})
    ]
    assert ask(HttpEndpoint(address=model.url), "m").tokens == 16


def test_an_overloaded_endpoint_is_asked_again(model: ModelServer) -> None:
    model.replies = [(429, {}), (502, {}), (200, COMPLETION)]
    seen = Witness()
    assert await_answer(
        HttpEndpoint(address=model.url), "m", say=seen.say, waiting=SOON
    ).tokens == 8  # fmt: skip
    assert "answers 429" in seen.text
    model.replies = [(429, {})]
    with pytest.raises(BusyError):
        ask(HttpEndpoint(address=model.url), "m")


def test_where_nobody_listens_it_is_not_waited_for_ever() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        endpoint = HttpEndpoint(address=f"http://127.0.0.1:{held.getsockname()[1]}")
        with pytest.raises(UnreachableError):
            await_answer(endpoint, "m", say=Witness().say, waiting=SOON)


def test_a_key_that_is_not_accepted_is_not_shown(model: ModelServer) -> None:
    model.replies = [(403, {})]
    endpoint = HttpEndpoint(address=model.url, key="hidden")
    with pytest.raises(UsageError, match="does not accept") as caught:
        ask(endpoint, "m")
    assert "hidden" not in str(caught.value) + repr(endpoint)


def test_the_host_of_the_certificate_is_asked_for(model: ModelServer) -> None:
    ask(HttpEndpoint(address=model.url, host="llm.example.com"), "m")
    assert model.asked[0]["headers"]["host"] == "llm.example.com"


def test_sagemaker_is_asked_through_its_runtime(front: Front) -> None:
    path = "POST /endpoints/pilotage-receipts/invocations"
    front.answers[path] = lambda _: Reply(json.dumps(COMPLETION), kind="application/json")
    endpoint = SageMakerEndpoint(aws=lifecycle().aws, name="pilotage-receipts")
    assert ask(endpoint, "m").text == "Wren, robin, owl."
    assert path in front.actions()


def _async(front: Front, bucket: str, *results: dict[str, object]) -> AsyncEndpoint:
    """moto's, which answers with what it is told to."""
    boto3.client("s3", region_name=REGION).create_bucket(Bucket=bucket)
    asked = urllib.request.Request(
        f"{front.url}/moto-api/static/sagemaker/async-endpoint-results",
        data=json.dumps({"results": results, "region": REGION}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked) as answer:
        assert answer.status == 201
    front.asked.clear()
    return AsyncEndpoint(aws=lifecycle().aws, name="pilotage-receipts", bucket=bucket, waiting=SOON)


def test_an_async_endpoint_is_asked_through_s3(front: Front) -> None:
    endpoint = _async(front, "questions", {"data": json.dumps(COMPLETION)})
    asked: list[str] = []
    given: list[dict[str, object]] = []
    s3 = boto3.client("s3", region_name=REGION)

    def watch(fields: dict[str, object]) -> None:
        del fields
        (one,) = s3.list_objects_v2(Bucket="questions")["Contents"]
        asked.append(one["Key"])
        given.append(json.loads(s3.get_object(Bucket="questions", Key=one["Key"])["Body"].read()))

    front.answers["POST /endpoints/pilotage-receipts/async-invocations"] = watch
    assert ask(endpoint, "m").text == "Wren, robin, owl."
    assert asked[0].startswith("requests/pilotage-")
    assert (given[0]["model"], given[0]["max_tokens"]) == ("m", 16)
    # Nothing of it stays.
    assert "Contents" not in s3.list_objects_v2(Bucket="questions")


def test_an_async_failure_says_why(front: Front) -> None:
    endpoint = _async(front, "questions", {"is_failure": True, "data": "out of\nmemory"})
    with pytest.raises(TargetError, match="failed: out of memory"):
        ask(endpoint, "m")


def test_an_answer_that_never_comes_is_not_waited_for_for_ever(front: Front) -> None:
    endpoint = replace(_async(front, "questions"), waiting=Waiting(poll_s=0.001, limit_s=0.01))
    places = {"OutputLocation": "s3://questions/answers/1.out"}
    told = Reply(json.dumps({"InferenceId": "1"}), 202, "application/json", headers=tuple(
        (f"X-Amzn-SageMaker-{name}", place) for name, place in places.items()
    ))  # fmt: skip
    front.answers["POST /endpoints/pilotage-receipts/async-invocations"] = lambda _: told
    with pytest.raises(TooLongError, match="the answer of pilotage-receipts"):
        ask(endpoint, "m")
    assert "Contents" not in boto3.client("s3", region_name=REGION).list_objects_v2(
        Bucket="questions"
    )


def test_a_function_url_is_asked_with_a_signature(front: Front) -> None:
    url = "https://abc.lambda-url.eu-west-1.on.aws/v1/chat/completions"
    headers = {key.lower(): value for key, value in signed(url, b"{}", None).items()}
    assert "/eu-west-1/lambda/aws4_request" in headers["authorization"]
    assert "SignedHeaders=content-type;host;x-amz-date" in headers["authorization"]
    assert front.actions() == []
