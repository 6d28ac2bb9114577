"""A whole server in front of the stand-in engine: what is passed on, refused, cut and mended.

Only the engine is a stand-in (see its first lines); supervisor, keeper, gateway, sockets and
processes are real.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(Path(__file__).parent.parent))

from running import RunningServer, run_serve, serving

STAND_IN = Path(__file__).parent / "stand_in_engine.py"
NAME = "stand-in"


def spec(folder: Path, model: Path, **serving_options: Any) -> str:
    options = {
        "engine_command": str(STAND_IN),
        "max_num_seqs": 4,
        "hang_timeout": "1s",
        "drain_timeout": "5s",
        **serving_options,
    }
    path = folder / "spec.yaml"
    source = {
        "source": str(model),
        "engine": "llamacpp",
        "served_name": NAME,
        "max_model_len": 256,
    }
    path.write_text(
        json.dumps({"name": "external", "model": source, "slo": {"ttft_p99": "60s"},
                    "serving": options})
    )  # fmt: skip
    return str(path)


@pytest.fixture(scope="module")
def server(
    embedded_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    with serving(spec(tmp_path_factory.mktemp("external"), embedded_model)) as running:
        yield running


def body(text: str, **more: Any) -> dict[str, Any]:
    return {"model": NAME, "messages": [{"role": "user", "content": text}], **more}


def chat(server: RunningServer, text: str, **more: Any) -> httpx.Response:
    return httpx.post(
        f"{server.url}/chat/completions", json=body(text, **more), timeout=60, trust_env=False
    )


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def metric(server: RunningServer, name: str) -> float:
    text = httpx.get(f"{server.base}/metrics", trust_env=False).text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels.get("model") == NAME:
                return sample.value
    raise AssertionError(f"no {name} in\n{text}")


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def engines(server: RunningServer) -> list[psutil.Process]:
    """The stand-in's own processes: its server and what that started."""
    found = []
    for child in psutil.Process(server.process.pid).children(recursive=True):
        try:
            line = child.cmdline()
        except psutil.Error:
            continue
        if "pilotage.serve.external.leash" not in line and (
            str(STAND_IN) in line or "import time; time.sleep(600)" in line
        ):
            found.append(child)
    return found


def test_a_stream_is_passed_on_byte_by_byte(server: RunningServer) -> None:
    got = chat(server, "one two three", max_tokens=3, stream=True,
               stream_options={"include_usage": True})  # fmt: skip
    assert got.headers["content-type"].startswith("text/event-stream")
    assert got.headers["x-request-id"]
    said = events(got.text)
    assert [e["choices"][0]["delta"].get("content") for e in said[:4]] == [
        None, "one ", "two ", "three ",
    ]  # fmt: skip
    assert said[-2]["usage"] == {"prompt_tokens": 3, "completion_tokens": 3}
    assert said[-1] == "[DONE]"


def test_an_answer_as_a_whole(server: RunningServer) -> None:
    got = chat(server, "one two", max_tokens=2).json()
    assert got["choices"][0]["message"]["content"] == "one two"
    assert got["usage"]["completion_tokens"] == 2


def test_completions_and_their_token_counts_reach_our_metrics(server: RunningServer) -> None:
    before = metric(server, "llamacpp:tokens_predicted_total")
    got = httpx.post(
        f"{server.url}/completions",
        json={"model": NAME, "prompt": "a b c", "max_tokens": 3},
        trust_env=False,
    )
    assert got.json()["choices"][0]["text"] == "a b c"
    until(lambda: metric(server, "llamacpp:tokens_predicted_total") >= before + 3)
    text = httpx.get(f"{server.base}/metrics", trust_env=False).text
    usage = [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "gen_ai_client_token_usage_sum"
        and sample.labels["gen_ai_operation_name"] == "text_completion"
        and sample.labels["gen_ai_token_type"] == "output"
    ]
    assert sum(sample.value for sample in usage) >= 3


def test_the_engine_is_a_model_like_any_other(server: RunningServer) -> None:
    listed = httpx.get(f"{server.url}/models", trust_env=False).json()["data"]
    assert [card["id"] for card in listed] == [NAME]
    tokens = httpx.post(
        f"{server.base}/tokenize", json={"model": NAME, "prompt": "hello"}, trust_env=False
    ).json()
    assert tokens["count"] >= 1
    assert httpx.get(f"{server.base}/health/ready", trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"model": "other"}, 404, "model_not_found"),
        ({"max_tokens": 0}, 400, "invalid_value"),
        ({"max_tokens": -1}, 400, "invalid_value"),
        ({"n": 0}, 400, "invalid_value"),
        ({"n": 10**9}, 400, "invalid_value"),
        ({"chat_template": "{{ 1 }}"}, 400, "unsupported_parameter"),
        ({"id_slot": 1}, 400, "unsupported_parameter"),
    ],
)
def test_what_concerns_this_server_is_checked_here(
    server: RunningServer, more: dict[str, Any], status: int, code: str
) -> None:
    got = chat(server, "hello", **more)
    assert (got.status_code, got.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("address", ["http://169.254.169.254/", "file:///etc/passwd", 7])
def test_the_engine_fetches_nothing_for_clients(server: RunningServer, address: Any) -> None:
    part = {"type": "image_url", "image_url": {"url": address}}
    got = httpx.post(
        f"{server.url}/chat/completions",
        json={"model": NAME, "messages": [{"role": "user", "content": [part]}]},
        trust_env=False,
    )
    assert got.status_code == 400
    assert got.json()["error"]["param"] == "messages[0].content[0].image_url"


def test_the_engines_own_refusal_is_passed_on(server: RunningServer) -> None:
    got = chat(server, "hello", temperature=3)
    assert got.status_code == 400
    assert got.json()["error"]["message"] == "temperature is too high"


def test_the_engines_failure_is_a_502(server: RunningServer) -> None:
    got = chat(server, "FAIL")
    assert (got.status_code, got.json()["error"]["code"]) == (502, "engine_error")


def test_a_client_that_leaves_ends_the_engines_work(server: RunningServer) -> None:
    before = metric(server, "llamacpp:requests_cut_total")
    with httpx.stream(
        "POST",
        f"{server.url}/chat/completions",
        json=body("SLOW 50", max_tokens=1000, stream=True),
        trust_env=False,
    ) as answer:
        next(answer.iter_bytes())
    until(lambda: metric(server, "llamacpp:requests_cut_total") > before)


def test_nobody_reaches_the_engine_past_the_gateway(server: RunningServer) -> None:
    (engine, *_) = engines(server)
    line = engine.cmdline()
    socket = Path(line[line.index("--host") + 1])
    assert socket.parent.stat().st_mode & 0o077 == 0
    assert not any("key" in argument.lower() for argument in line)
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket))) as client:
        assert client.get("http://engine/metrics").status_code == 401


def test_an_engine_that_dies_within_a_stream(server: RunningServer) -> None:
    got = chat(server, "CRASH 2 and more", max_tokens=9, stream=True)
    said = events(got.text)
    assert said[-1]["error"]["code"] == "worker_died"
    assert "[DONE]" not in said
    server.wait_ready()
    until(lambda: chat(server, "one", max_tokens=1).status_code == 200)


@pytest.mark.slow
def test_a_hung_engine_is_replaced_and_leaves_nothing_behind(server: RunningServer) -> None:
    until(lambda: len(engines(server)) == 2)
    old = engines(server)
    waiting = threading.Thread(target=chat, args=(server, "HANG"), kwargs={"stream": True})
    waiting.start()
    until(lambda: not any(process.is_running() for process in old))
    waiting.join()
    until(lambda: chat(server, "one", max_tokens=1).status_code == 200)
    assert len(engines(server)) == 2


@pytest.mark.slow
def test_a_busy_engine_is_left_alone(server: RunningServer) -> None:
    before = {process.pid for process in engines(server)}
    got = chat(server, "SLOW 400", max_tokens=10)  # four times the hang time-out
    assert got.status_code == 200
    assert {process.pid for process in engines(server)} == before


@pytest.mark.slow
def test_kill_9_of_the_keeper_takes_the_engine_with_it(server: RunningServer) -> None:
    until(lambda: len(engines(server)) == 2)
    old = engines(server)
    (keeper,) = (
        child
        for child in psutil.Process(server.process.pid).children()
        if "pilotage.serve.external.keeper" in child.cmdline()
    )
    keeper.kill()
    until(lambda: not any(process.is_running() for process in old))
    until(lambda: chat(server, "one", max_tokens=1).status_code == 200)


@pytest.mark.slow
def test_kill_9_of_the_supervisor_and_a_drain(embedded_model: Path, tmp_path: Path) -> None:
    path = spec(tmp_path, embedded_model)
    with serving(path, environment={"HF_TOKEN": "hf_secret", "LLAMA_ARG_PORT": "1"}) as server:
        own = engines(server)
        variables = own[0].environ()
        assert "HF_TOKEN" not in variables
        assert "LLAMA_ARG_PORT" not in variables
        assert variables["HF_HUB_OFFLINE"] == "1"
        os.kill(server.process.pid, signal.SIGKILL)
        until(lambda: not any(process.is_running() for process in own))


@pytest.mark.slow
def test_a_drain_lets_a_stream_end(embedded_model: Path, tmp_path: Path) -> None:
    with serving(spec(tmp_path, embedded_model)) as server:
        own = engines(server)
        answers: list[httpx.Response] = []
        request = threading.Thread(
            target=lambda: answers.append(chat(server, "SLOW 50", max_tokens=20, stream=True))
        )
        request.start()
        until(lambda: metric(server, "llamacpp:requests_processing") == 1)
        assert server.stop() == 0
        request.join()
        assert events(answers[0].text)[-1] == "[DONE]"
        until(lambda: not any(process.is_running() for process in own))


@pytest.mark.slow
def test_too_much_is_refused_with_the_time_to_come_back(
    embedded_model: Path, tmp_path: Path
) -> None:
    with serving(spec(tmp_path, embedded_model, max_num_seqs=1), "--ttft-p99", "1s") as server:
        assert chat(server, "SLOW 100", max_tokens=10).status_code == 200  # takes a second
        busy = [
            threading.Thread(target=chat, args=(server, "SLOW 100"), kwargs={"max_tokens": 20})
            for _ in range(2)
        ]
        for one in busy:
            one.start()
        until(lambda: metric(server, "llamacpp:requests_processing") >= 1)
        refused = chat(server, "hello", max_tokens=1)
        for one in busy:
            one.join()
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "overloaded"
        assert int(refused.headers["retry-after"]) >= 1


@pytest.mark.slow
def test_an_engine_that_cannot_start_says_why(embedded_model: Path, tmp_path: Path) -> None:
    code, said = run_serve(
        spec(tmp_path, embedded_model), "--port", "0", environment={"VLLM_STAND_IN_REFUSES": "1"}
    )
    assert code == 1
    assert "this model has nine heads" in said


def test_a_program_that_is_not_there_is_refused_at_once(
    embedded_model: Path, tmp_path: Path
) -> None:
    path = spec(tmp_path, embedded_model, engine_command="/nowhere/llama-server")
    code, said = run_serve(path, "--port", "0")
    assert code == 2
    assert "/nowhere/llama-server" in said
