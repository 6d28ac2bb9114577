import logging
import time

import pytest

from pilotage.serve.api import Health
from pilotage.serve.keys import KeyLimits, KeyStore
from pilotage.serve.rate_limits import RateLimiter

OPEN = ["/health", "/health/live", "/health/ready", "/health/startup", "/ping"]
CLOSED = ["/v1/models", "/v1/models/x", "/metrics", "/docs", "/openapi.json", "/nope", "/health/x"]


@pytest.fixture
def keys(tmp_path):
    return KeyStore(tmp_path / "keys.json")


def bearer(text):
    return {"authorization": f"Bearer {text}"}


def test_without_keys_everything_is_open(gateway):
    assert gateway.get("/v1/models").status_code == 200


def test_with_keys_everything_else_is_closed(start_gateway, keys):
    issued = keys.add("somebody")
    gateway = start_gateway(keys=keys)
    for path in OPEN:
        assert gateway.get(path).status_code == 200
    for path in CLOSED:
        for headers in ({}, bearer("plt_x"), bearer(issued.text[:-1] + "!")):
            refused = gateway.get(path, headers=headers)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert refused.json()["error"]["code"] == "invalid_api_key"
            assert issued.text[:-1] not in refused.text
    for path in ("/v1/chat/completions", "/invocations", "/tokenize", "/ping", "/health"):
        expected = 405 if path in OPEN else 401
        assert gateway.post(path, content=b"not even JSON").status_code == expected
    assert gateway.get("/v1/models", headers=bearer(issued.text)).status_code == 200
    assert gateway.get("/nope", headers={"x-api-key": issued.text}).status_code == 404
    client = gateway.client(api_key=issued.text)
    assert client.models.list().data[0].id == "smollm2"
    keys.revoke("somebody")
    assert gateway.get("/v1/models", headers=bearer(issued.text)).status_code == 401


def test_open_to_its_platform_a_server_is_closed_to_all_else(start_gateway, keys):
    gateway = start_gateway(keys=keys, platform_only=True)
    body = {"messages": [{"role": "user", "content": "hello"}]}
    assert gateway.post("/invocations", body).status_code == 200
    assert gateway.get("/ping").status_code == 200
    for path in (
        "/v1/models",
        "/metrics",
        "/docs",
        "/v1/admin/models",
        "/nothing",
        "/invocations/",
    ):
        refused = gateway.get(path)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "platform_only")
    assert gateway.chat().status_code == 403

    issued = keys.add("somebody")
    closed = start_gateway(keys=keys, platform_only=True)
    assert closed.post("/invocations", body).status_code == 401
    headers = {"authorization": f"Bearer {issued.text}"}
    assert closed.post("/invocations", body, headers=headers).status_code == 200
    assert closed.get("/v1/models", headers=headers).status_code == 200


def test_rate_limits(start_gateway, keys):
    issued = keys.add("thrifty", limits=KeyLimits(requests_per_minute=2, tokens_per_minute=100))
    gateway = start_gateway(keys=keys, rate_limits=RateLimiter())
    body = {"model": "smollm2", "prompt": [1] * 20, "max_tokens": 5}

    def post(**fields):
        return gateway.post("/v1/completions", body | fields, headers=bearer(issued.text))

    answer = post()
    assert answer.status_code == 200
    assert answer.headers["x-ratelimit-limit-requests"] == "2"
    assert answer.headers["x-ratelimit-remaining-requests"] == "1"
    assert answer.headers["x-ratelimit-remaining-tokens"] == "80"
    time.sleep(0.2)  # completion tokens are charged for once the answer is out
    answer = post(stream=True)
    # 80, less this prompt, less the first answer's tokens, plus a little refilling.
    assert 55 <= int(answer.headers["x-ratelimit-remaining-tokens"]) < 60
    refused = post()
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    wait_ms = int(refused.headers["retry-after-ms"])
    assert (int(refused.headers["retry-after"]) - 1) * 1000 < wait_ms
    assert len(gateway.dispatcher.generations) == 2


def test_a_prompt_beyond_the_budget_is_not_to_be_tried_again(start_gateway, keys):
    issued = keys.add("poor", limits=KeyLimits(tokens_per_minute=10))
    gateway = start_gateway(keys=keys, rate_limits=RateLimiter())
    body = {"model": "smollm2", "prompt": [1] * 20}
    refused = gateway.post("/v1/completions", body, headers=bearer(issued.text))
    assert refused.status_code == 429
    assert "retry-after" not in refused.headers
    assert refused.headers["x-should-retry"] == "false"


def test_request_ids(gateway):
    sent = gateway.get("/health", headers={"x-request-id": "my-id.1:a/b"})
    assert sent.headers["x-request-id"] == "my-id.1:a/b"
    for bad in ("", "x" * 129, "a b", "a\tb", "<script>", '"'):
        made = gateway.get("/nope", headers={"x-request-id": bad}).headers["x-request-id"]
        assert made.startswith("req_")
    assert gateway.chat(stream=True).headers["x-request-id"].startswith("req_")


def access_records(caplog, count):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:  # it is written after the client has its answer
        found = [record for record in caplog.records if record.name == "pilotage.access"]
        if len(found) >= count:
            return found
        time.sleep(0.01)
    raise AssertionError(caplog.records)


def test_the_access_log(start_gateway, keys, caplog):
    issued = keys.add("somebody")
    gateway = start_gateway(keys=keys)
    with caplog.at_level(logging.INFO, logger="pilotage.access"):
        body = {"model": "smollm2", "messages": [{"role": "user", "content": "my secret"}]}
        for count, extra in enumerate(({}, {"stream": True}, {"n": 0})):
            gateway.post("/v1/chat/completions", body | extra, headers=bearer(issued.text))
            access_records(caplog, count + 1)
        gateway.get("/v1/models/my-secret", headers=bearer(issued.text))
        gateway.get("/my-secret")
        records = access_records(caplog, 5)
    whole, streamed, bad, missing, closed = records
    for record in (whole, streamed):
        assert (record.status, record.endpoint) == (200, "/v1/chat/completions")
        assert (record.model, record.key) == ("smollm2", issued.key.id)
        assert (record.completion_tokens, record.finish_reason) == (5, "stop")
        assert 0 < record.ttft_ms <= record.duration_ms
        assert record.prompt_tokens > 10
    assert (bad.status, bad.reason, bad.completion_tokens) == (400, "invalid_value", 0)
    assert (missing.status, missing.endpoint) == (404, "/v1/models/{model}")
    assert (closed.status, closed.endpoint, closed.key) == (401, "other", None)
    logged = repr([vars(record) for record in records])
    assert "secret" not in logged
    assert issued.text.rpartition("_")[2] not in logged


def test_a_client_that_left_is_on_record(gateway, caplog):
    gateway.follow(60.0)
    with caplog.at_level(logging.INFO, logger="pilotage.access"):
        with pytest.raises(Exception, match="timed out"):
            gateway.http.post(
                "/v1/completions", json={"model": "smollm2", "prompt": "x"}, timeout=0.2
            )
        (record,) = access_records(caplog, 1)
    assert (record.status, record.reason) == (499, "client_closed_request")


def test_metrics(gateway):
    gateway.chat()
    text = gateway.get("/metrics").text
    assert 'pilotage_requests_total{endpoint="/v1/chat/completions",model="smollm2"' in text
    assert float(text.split("\npilotage_requests_in_flight ")[1].split()[0]) >= 1  # this one


@pytest.mark.parametrize(
    ("state", "ready", "started"),
    [("loading", 503, 503), ("ready", 200, 200), ("stalled", 503, 200), ("draining", 503, 200)],
)
def test_health(gateway, state, ready, started):
    gateway.state["health"] = Health(state, "Because.", {"workers": 2})
    for path, status in (
        ("/health/live", 200),
        ("/health/startup", started),
        ("/health/ready", ready),
        ("/health", ready),
        ("/ping", ready),
    ):
        answer = gateway.get(path)
        assert answer.status_code == status
        assert answer.json() == {"status": state, "reason": "Because.", "details": {"workers": 2}}


def test_while_loading(start_gateway):
    gateway = start_gateway()
    gateway.state["info"] = None
    answer = gateway.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_loading")
    assert int(answer.headers["retry-after"]) > 0
    assert gateway.get("/v1/models/smollm2").json()["max_model_len"] is None


def test_while_draining(gateway):
    from pilotage.serve.generation import Unavailable

    gateway.state["health"] = Health("draining", "Told to stop.")
    gateway.dispatcher.refusal = Unavailable("Draining.", retry_after_s=None, code="draining")
    answer = gateway.chat()
    assert answer.status_code == 503
    assert answer.headers["connection"] == "close"
    assert int(answer.headers["retry-after"]) > 0
