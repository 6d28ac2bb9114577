"""The whole server with the real model, through the official client: what a user meets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from running import RunningServer

MODEL = "SmolLM2-135M-Instruct"
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
PARIS = "The capital of France is Paris."

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as made:
        yield made


def metric(server: RunningServer, name: str) -> float:
    text = httpx.get(f"{server.base}/metrics", trust_env=False).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def eventually(server: RunningServer, name: str, value: float, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if metric(server, name) == value:
            return True
        time.sleep(0.1)
    return False


def post(server: RunningServer, path: str, **options: object) -> httpx.Response:
    return httpx.post(f"{server.base}{path}", trust_env=False, timeout=60, **options)  # type: ignore[arg-type]


def test_the_plan_is_told_first(server: RunningServer) -> None:
    plan = server.events[0]
    assert plan["event"] == "plan"
    assert plan["model"] == MODEL
    assert plan["max_num_seqs"] == 16
    assert plan["kv_cache_tokens"] * 13_680 == plan["kv_cache_bytes"]  # type: ignore[operator]


def test_chat_answers(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=FRANCE, temperature=0)  # type: ignore[arg-type]
    assert answer.choices[0].message.content == PARIS
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (37, 7)


def test_chat_streams_token_by_token(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model=MODEL,
            messages=FRANCE,  # type: ignore[arg-type]
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    texts = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert len(texts) > 3
    assert "".join(texts) == PARIS
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7


def test_completions_with_a_stop_string(client: openai.OpenAI) -> None:
    prompt = "The days of the week are Monday, Tuesday,"
    whole = client.completions.create(model=MODEL, prompt=prompt, max_tokens=12, temperature=0)
    text = whole.choices[0].text
    assert whole.choices[0].finish_reason == "length"
    cut = client.completions.create(
        model=MODEL, prompt=prompt, max_tokens=12, temperature=0, stop=[","]
    )
    assert cut.choices[0].text == text.partition(",")[0]
    assert cut.choices[0].finish_reason == "stop"


def test_log_probabilities(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=FRANCE,  # type: ignore[arg-type]
        temperature=0,
        logprobs=True,
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert "".join(entry.token for entry in logprobs.content) == PARIS
    assert all(entry.logprob < 0 for entry in logprobs.content)


def test_structured_output(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model=MODEL,
        messages=FRANCE,  # type: ignore[arg-type]
        temperature=0,
        max_tokens=200,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "capital", "schema": schema, "strict": True},
        },
    )
    assert set(json.loads(answer.choices[0].message.content or "")) == {"city"}


def test_several_choices(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=FRANCE,  # type: ignore[arg-type]
        n=3,
        max_tokens=12,
        temperature=1.0,
        seed=1,
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1


def test_many_at_once_are_all_answered_alike(client: openai.OpenAI) -> None:
    def ask(_: int) -> str | None:
        answer = client.chat.completions.create(model=MODEL, messages=FRANCE, temperature=0)  # type: ignore[arg-type]
        return answer.choices[0].message.content

    with ThreadPoolExecutor(24) as pool:
        assert set(pool.map(ask, range(24))) == {PARIS}


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


def test_an_unknown_model_lists_the_known(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=MODEL):
        client.chat.completions.create(model="gpt-x", messages=FRANCE)  # type: ignore[arg-type]


def test_a_prompt_beyond_the_context_names_both_counts(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"8,?192") as caught:
        client.completions.create(model=MODEL, prompt="hello " * 9000, max_tokens=1)
    assert "9,000" in str(caught.value) or "9000" in str(caught.value) or "900" in str(caught.value)
    assert caught.value.code == "context_length_exceeded"


def test_a_parameter_the_server_lacks_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=MODEL,
            messages=FRANCE,  # type: ignore[arg-type]
            logit_bias={"5": 1},
        )
    assert caught.value.param == "logit_bias"


def test_a_schema_that_cannot_be_compiled_hurts_nobody(
    client: openai.OpenAI, server: RunningServer
) -> None:
    for schema in ({"type": "obj"}, {"$ref": "#/nowhere"}, {"type": "string", "pattern": "(?<=a"}):
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(
                model=MODEL,
                messages=FRANCE,  # type: ignore[arg-type]
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": schema},  # type: ignore[typeddict-item]
                },
            )
    assert metric(server, "pilotage_worker_restarts_total") == 0


def test_a_client_that_leaves_frees_its_slot(server: RunningServer) -> None:
    body = {"model": MODEL, "messages": FRANCE, "max_tokens": 4000, "ignore_eos": True}
    with (
        httpx.Client(trust_env=False, timeout=60) as left,
        left.stream(
            "POST", f"{server.url}/chat/completions", json={**body, "stream": True}
        ) as answer,
    ):
        assert answer.status_code == 200
        lines = answer.iter_lines()  # kept: a generator that is collected closes the stream
        next(lines)
        assert metric(server, "pilotage_running_requests") == 1
    assert eventually(server, "pilotage_running_requests", 0)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/chat/completions", json=body, timeout=1, trust_env=False)
    assert eventually(server, "pilotage_running_requests", 0)


def test_tokenize_and_invocations(server: RunningServer) -> None:
    counted = post(server, "/tokenize", json={"model": MODEL, "messages": FRANCE}).json()
    assert counted["count"] == len(counted["tokens"]) == 37
    assert post(server, "/invocations", json={"messages": FRANCE, "temperature": 0}).json()[
        "choices"
    ][0]["message"]["content"] == (PARIS)
    assert httpx.get(f"{server.base}/ping", trust_env=False).status_code == 200


def test_health_and_metrics(server: RunningServer) -> None:
    for path in ("/health", "/health/live", "/health/ready", "/health/startup"):
        assert httpx.get(f"{server.base}{path}", trust_env=False).status_code == 200
    assert metric(server, "gen_ai_server_time_to_first_token_seconds_count") >= 1
    assert metric(server, "pilotage_engine_steps_total") >= 7


def test_a_request_id_comes_back(server: RunningServer) -> None:
    answer = post(
        server,
        "/v1/chat/completions",
        json={"model": MODEL, "messages": FRANCE, "max_tokens": 1},
        headers={"X-Request-Id": "mine-1"},
    )
    assert answer.headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b'{"model": "SmolLM2-135M-Instruct", "messages": []}', 400),
        (b'{"model": "SmolLM2-135M-Instruct", "messages": "x"}', 400),
        (json.dumps({"model": MODEL, "messages": FRANCE, "max_tokens": -1}).encode(), 400),
        (json.dumps({"model": MODEL, "messages": FRANCE, "temperature": 1e9}).encode(), 400),
        (json.dumps({"model": MODEL, "messages": FRANCE, "n": 10_000}).encode(), 400),
        (json.dumps({"model": MODEL, "messages": FRANCE, "stop": "x" * 2**20}).encode(), 400),
        (b'{"model": "x", "prompt": "' + b"x" * (5 << 20) + b'"}', 413),
    ],
)
def test_bad_input_is_an_error_object_at_once(
    server: RunningServer, content: bytes, status: int
) -> None:
    answer = post(
        server,
        "/v1/chat/completions",
        content=content,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
