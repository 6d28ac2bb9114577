"""A static tier over one provider: the real gateway, the official client."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openai import OpenAI
from provider_stand_in import CACHED_TOKENS, PROMPT_TOKENS, StandIn
from running import RunningServer
from schemathesis.specs.openapi.checks import positive_data_acceptance

ASKED: Any = [{"role": "user", "content": "What is the capital of France?"}]
WHOLE = "Paris it is."
# 12 prompt tokens at 1 dollar a million, 8 cached ones at 0.5, and 3 completion tokens at 2.
COST = "0.000022"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pass-through")


@pytest.fixture(scope="module")
def server(serve: Any, folder: Path) -> Iterator[RunningServer]:
    with serve(folder, policy="static", tier="small") as running:
        yield running


@pytest.fixture
def client(server: RunningServer, small: StandIn) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.url, api_key="none", max_retries=0) as openai:
        yield openai


def rows(folder: Path, where: str = "1") -> list[sqlite3.Row]:
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        ledger.row_factory = sqlite3.Row
        sql = f"SELECT * FROM pilotage_attempts WHERE {where} ORDER BY at"
        return ledger.execute(sql).fetchall()


def eventually(found: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (value := found()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
    return value


def post(server: RunningServer, path: str = "/v1/chat/completions", **body: Any) -> httpx.Response:
    content = {"model": "auto", "messages": ASKED, **body}
    return httpx.post(f"{server.base}{path}", json=content, timeout=30)


def test_no_model_and_no_worker_is_there(server: RunningServer) -> None:
    plan = server.events[0]
    assert (plan["models"], plan["workers"], plan["tiers"]) == ([], [], ["small", "big"])
    assert server.worker_pids() == []


def test_a_whole_answer_comes_as_the_provider_wrote_it(
    client: OpenAI, small: StandIn, folder: Path
) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="auto",
        messages=ASKED,
        temperature=0.5,
        extra_body={"provider_field": [1, {"deep": None}]},
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == WHOLE
    assert (answer.id, answer.model) == ("chatcmpl-7", "small-2026")
    assert raw.headers["x-pilotage-tier"] == "small"
    assert raw.headers["x-pilotage-cost-usd"] == COST
    assert raw.headers["x-pilotage-decision"] == "static"
    assert small.bodies == [
        {
            "model": "tiny",
            "messages": ASKED,
            "temperature": 0.5,
            "provider_field": [1, {"deep": None}],
        }
    ]
    request = raw.headers["x-request-id"]
    (row,) = eventually(lambda: rows(folder, f"request_id = '{request}'"))
    assert (row["tier"], row["backend"], row["role"]) == ("small", "small/0", "answer")
    assert (row["asked_model"], row["served_model"]) == ("tiny", "small-2026")
    assert (row["prompt_tokens"], row["cache_read_tokens"]) == (PROMPT_TOKENS, CACHED_TOKENS)
    assert (row["completion_tokens"], row["cost_nano"]) == (3, 22_000)
    assert (row["estimated"], row["outcome"]) == (0, "ok")


def test_a_stream_without_usage_has_none_and_is_billed_all_the_same(
    client: OpenAI, small: StandIn, folder: Path
) -> None:
    stream: Any = client.chat.completions.create(model="auto", messages=ASKED, stream=True)
    request = stream.response.headers["x-request-id"]
    chunks = list(stream)
    assert "".join(one.choices[0].delta.content or "" for one in chunks) == WHOLE
    assert all(one.choices and one.usage is None for one in chunks)
    assert small.bodies[0]["stream_options"] == {"include_usage": True}
    (row,) = eventually(lambda: rows(folder, f"request_id = '{request}'"))
    assert (row["completion_tokens"], row["cost_nano"], row["estimated"]) == (3, 22_000, 0)


def test_a_stream_with_usage_ends_with_the_cost(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="small",
        messages=ASKED,
        stream=True,
        stream_options={"include_usage": True},
    )
    assert stream.response.headers["x-pilotage-decision"] == "asked for by its name"
    last = list(stream)[-1]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 3
    assert last.usage.model_extra == {"cost_usd": COST}


def test_a_provider_that_knows_no_stream_is_read_as_one(client: OpenAI, small: StandIn) -> None:
    small.streams = False
    asked: Any = {"model": "auto", "messages": ASKED, "stream": True}
    (chunk,) = client.chat.completions.create(**asked)
    assert chunk.choices[0].delta.content == WHOLE
    assert chunk.usage is None
    *_, last = client.chat.completions.create(**asked, stream_options={"include_usage": True})
    assert last.usage.model_extra == {"cost_usd": COST}


def test_the_other_tier_is_asked_by_its_name_with_its_key(
    client: OpenAI, big: StandIn, small: StandIn
) -> None:
    raw = client.chat.completions.with_raw_response.create(model="big", messages=ASKED)
    assert (raw.headers["x-pilotage-tier"], raw.parse().model) == ("big", "big-2026")
    assert big.keys == ["Bearer sk-stand-in-secret"]
    assert small.bodies == []


def test_the_models_are_the_routed_name_and_the_tiers(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["auto", "small", "big"]
    assert client.models.retrieve("small").owned_by == "pilotage"


def test_sagemakers_route_needs_no_model(server: RunningServer, small: StandIn) -> None:
    answer = httpx.post(f"{server.base}/invocations", json={"messages": ASKED}, timeout=30)
    assert answer.json()["choices"][0]["message"]["content"] == WHOLE
    assert answer.headers["x-pilotage-cost-usd"] == COST
    assert small.bodies[0]["model"] == "tiny"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": ASKED * 6}, (400, "history_too_long", "messages")),
        ({"messages": []}, (400, "invalid_value", "messages")),
        ({"messages": [{"role": "robot", "content": "x"}]}, (400, "invalid_value", None)),
        ({"messages": [{"role": "user", "content": 7}]}, (400, "invalid_value", None)),
        ({"messages": ["x"]}, (400, "invalid_value", "messages[0]")),
        ({"max_tokens": 0}, (400, "invalid_value", "max_tokens")),
        ({"n": 2}, (400, "unsupported_parameter", "n")),
        ({"stream": "yes"}, (400, "invalid_value", "stream")),
        ({"stream_options": {}}, (400, "invalid_value", "stream_options")),
        ({"stream": True, "stream_options": 7}, (400, "invalid_value", "stream_options")),
        ({"chat_template": "{{ x }}"}, (400, "unsupported_parameter", "chat_template")),
        ({"model": "other"}, (404, "model_not_found", "model")),
        ({"padding": "x" * 70_000}, (413, "body_too_large", None)),
    ],
)
def test_what_is_wrong_is_said_and_costs_nothing(
    server: RunningServer,
    small: StandIn,
    body: dict[str, Any],
    said: tuple[int, str, str | None],
) -> None:
    refused = post(server, **body)
    error = refused.json()["error"]
    status, code, param = said
    assert (refused.status_code, error["code"]) == (status, code)
    assert param is None or error["param"] == param
    assert small.bodies == []


def test_nothing_is_fetched_for_a_client(server: RunningServer, small: StandIn) -> None:
    inside = {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}}
    refused = post(server, messages=[{"role": "user", "content": [inside]}])
    assert refused.status_code == 400
    assert "data: URL" in refused.json()["error"]["message"]
    assert small.bodies == []
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert post(server, messages=[{"role": "user", "content": [picture]}]).status_code == 200
    assert small.bodies[0]["messages"][0]["content"] == [picture]


def test_other_routes_say_that_chat_is_what_is_routed(server: RunningServer) -> None:
    refused = httpx.post(f"{server.url}/completions", json={"model": "auto", "prompt": "x"})
    assert refused.status_code == 400
    assert "answers chat requests only" in refused.json()["error"]["message"]


def test_a_provider_that_does_not_answer(server: RunningServer, big: StandIn) -> None:
    big.status = 400
    refused = post(server, model="big")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "provider_refused")
    assert refused.json()["error"]["message"] == "No, not this."
    big.status = 500
    refused = post(server, model="big")
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "backend_failed")
    assert "not this" not in refused.text
    big.status, big.headers = 503, {"retry-after": "7"}
    refused = post(server, model="big")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "7")
    asked = len(big.bodies)
    refused = post(server, model="big")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "backend_overloaded")
    assert 1 <= int(refused.headers["retry-after"]) <= 7
    assert len(big.bodies) == asked  # it said when to come back, and is believed


def test_a_stream_that_breaks_off_says_so(
    server: RunningServer, small: StandIn, folder: Path
) -> None:
    small.stops_after = 1
    answer = post(server, stream=True)
    assert answer.status_code == 200
    events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert json.loads(events[-1])["error"]["code"] == "backend_cut"
    request = answer.headers["x-request-id"]
    (row,) = eventually(lambda: rows(folder, f"request_id = '{request}'"))
    assert (row["outcome"], row["fault"], row["estimated"]) == ("error", "cut", 1)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_is_billed_and_its_attempt_ends(
    server: RunningServer, small: StandIn, folder: Path, stream: bool
) -> None:
    small.pause_s = 0.05
    small.says = ["x"] * 2000
    body = json.dumps({"model": "auto", "messages": ASKED, "stream": True}).encode()
    host, port = server.base.removeprefix("http://").split(":")
    id_ = f"hangs-up-{stream}"
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"X-Request-Id: %s\r\nContent-Length: %d\r\n\r\n%s" % (id_.encode(), len(body), body)
        )
        if stream:
            assert raw.recv(64).startswith(b"HTTP/1.1 200")
        else:
            eventually(lambda: small.bodies)
    eventually(lambda: small.hung_up)
    (row,) = eventually(lambda: rows(folder, f"request_id = '{id_}'"))
    assert row["outcome"] == "cancelled"
    assert row["estimated"] == 1
    assert row["cost_nano"] > 0


def test_metrics_count_attempts_and_money(server: RunningServer, small: StandIn) -> None:
    assert post(server).status_code == 200
    text = httpx.get(f"{server.base}/metrics").text
    line = (
        'pilotage_route_attempts_total{backend="small/0",outcome="ok",role="answer",tier="small"}'
    )
    assert line in text
    assert 'pilotage_route_cost_usd_total{role="answer",tier="small"}' in text
    assert 'pilotage_route_breaker{backend="big/0"}' in text


def test_a_few_made_up_requests_by_our_own_openapi(server: RunningServer, small: StandIn) -> None:
    api = schemathesis.openapi.from_url(f"{server.base}/openapi.json")

    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=api["/v1/chat/completions"]["POST"].as_strategy())
    def one(case: Any) -> None:
        if isinstance(case.body, dict):
            case.body["model"] = "auto"
        response = case.call_and_validate(timeout=60, excluded_checks=[positive_data_acceptance])
        if response.status_code >= 400:
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}

    one()
    assert server.process.poll() is None


def test_a_gateway_that_is_killed_leaves_the_ledger_whole(
    server: RunningServer, small: StandIn, folder: Path
) -> None:
    before = len(rows(folder))
    for _ in range(20):
        assert post(server).status_code == 200
    eventually(lambda: len(rows(folder)) >= before + 20)
    first = server.gateway_pid()
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not alive(first))
    server.wait_ready(60)
    assert post(server).status_code == 200
    assert eventually(lambda: len(rows(folder)) == before + 21)
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
