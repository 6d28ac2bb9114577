"""The API in front of real engines: vLLM, and llama-server.

``make test-vllm`` runs this with vLLM's CPU build on the default model, which is turned into
safetensors by us. Each engine takes part where its program is named:
``PILOTAGE_TEST_VLLM=.venv-vllm/bin/python``, ``PILOTAGE_TEST_LLAMA_SERVER=…/llama-server``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(Path(__file__).parent.parent / "serve"))

from running import RunningServer, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

START_S = 1800.0
NAME = "smol"
PROGRAMS = {
    "vllm": os.environ.get("PILOTAGE_TEST_VLLM"),
    "llamacpp": os.environ.get("PILOTAGE_TEST_LLAMA_SERVER"),
}
PREFIX = {"vllm": "vllm:", "llamacpp": "llamacpp:"}
QUESTION = [{"role": "user", "content": "Write one sentence about the sea."}]


@pytest.fixture(scope="module", params=sorted(PROGRAMS))
def engine(request: pytest.FixtureRequest) -> str:
    if not PROGRAMS[request.param]:
        pytest.skip(f"no program is named for {request.param}")
    return str(request.param)


@pytest.fixture(scope="module")
def server(
    engine: str, embedded_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    path = tmp_path_factory.mktemp(engine) / "spec.yaml"
    deployment = {
        "name": "external",
        "model": {
            "source": str(embedded_model),
            "engine": engine,
            "served_name": NAME,
            "max_model_len": 1024,
        },
        "slo": {"ttft_p99": "300s"},
        "serving": {
            "engine_command": str(Path(str(PROGRAMS[engine])).absolute()),
            "device": "cpu",
            "max_num_seqs": 4,
            "load_timeout": "30m",
            "hang_timeout": "30s",
            **({"kv_cache": "1GiB"} if engine == "vllm" else {}),
        },
    }
    path.write_text(json.dumps(deployment))
    with serving(str(path), start_s=START_S) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=600) as one:
        yield one


def samples(server: RunningServer) -> dict[str, float]:
    text = httpx.get(f"{server.base}/metrics", trust_env=False, timeout=60).text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("model") == NAME:
                found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


def test_a_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=NAME, messages=QUESTION, max_tokens=16)  # type: ignore[arg-type]
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert 1 <= answer.usage.completion_tokens <= 16
    assert answer.usage.prompt_tokens > 5


def test_a_stream_with_usage_says_what_the_whole_does(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {
        "model": NAME, "messages": QUESTION, "max_tokens": 16, "temperature": 0,
    }  # fmt: skip
    whole = client.chat.completions.create(**options)
    chunks = list(
        client.chat.completions.create(
            **options, stream=True, stream_options={"include_usage": True}
        )
    )
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_completions_stop_and_seed(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {
        "model": NAME, "prompt": "One, two, three, four, five, six,", "max_tokens": 24,
    }  # fmt: skip
    first = client.completions.create(**options, seed=7, temperature=0.8).choices[0]
    again = client.completions.create(**options, seed=7, temperature=0.8).choices[0]
    assert first.text == again.text
    free = client.completions.create(**options, temperature=0).choices[0].text
    stop = next(word for word in free.split() if len(word) > 2)
    cut = client.completions.create(**options, temperature=0, stop=[stop]).choices[0]
    assert cut.finish_reason == "stop"
    assert cut.text == free[: free.index(stop)]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"model": "nobody"}, 404),
        ({"max_tokens": 0}, 400),
        ({"temperature": "warm"}, 400),
        ({"chat_template": "x"}, 400),
    ],
)
def test_bad_requests(server: RunningServer, more: dict[str, Any], status: int) -> None:
    got = httpx.post(
        f"{server.url}/chat/completions",
        json={"model": NAME, "messages": QUESTION, **more},
        trust_env=False,
        timeout=120,
    )
    assert got.status_code == status, got.text
    assert got.json()["error"]["message"]


def test_a_client_that_leaves_frees_the_engine(server: RunningServer, engine: str) -> None:
    running = {"vllm": "vllm:num_requests_running", "llamacpp": "llamacpp:requests_processing"}
    body = {
        "model": NAME, "prompt": "Once upon a time", "max_tokens": 900, "stream": True,
        "ignore_eos": True,
    }  # fmt: skip
    with httpx.stream(
        "POST", f"{server.url}/completions", json=body, trust_env=False, timeout=300
    ) as answer:
        next(answer.iter_bytes())
        until(lambda: samples(server)[running[engine]] >= 1)
    until(lambda: samples(server)[running[engine]] == 0, seconds=60)


def test_its_metrics_are_among_ours(server: RunningServer, engine: str) -> None:
    found = samples(server)
    assert sum(name.startswith(PREFIX[engine]) for name in found) >= 5
    assert any(name.startswith("pilotage_") for name in found)


def test_kill_9_of_the_engine_and_it_comes_back(
    server: RunningServer, client: openai.OpenAI, engine: str
) -> None:
    program = str(Path(str(PROGRAMS[engine])).absolute())
    old = [
        child
        for child in psutil.Process(server.process.pid).children(recursive=True)
        if child.cmdline()[:1] == [program]
    ]
    assert old
    old[0].kill()
    until(lambda: httpx.get(f"{server.base}/health/ready", trust_env=False).status_code == 503)
    server.wait_ready(START_S)
    answer = client.chat.completions.create(model=NAME, messages=QUESTION, max_tokens=4)  # type: ignore[arg-type]
    assert answer.choices[0].message.content is not None
    until(lambda: not any(process.is_running() for process in old))
