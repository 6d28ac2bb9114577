"""Two workers, several models, for real: routing, loading on demand, and a death survived."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from running import RunningServer, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SPEC = """
model: {served_name: a, max_model_len: 512}
slo: {ttft_p99: 300s}
serving:
  workers: 2
  max_num_seqs: 4
  memory_budget: 1GiB
  models:
    - {served_name: b, max_model_len: 512}
    - {served_name: c, max_model_len: 512, load: lazy}
  aliases:
    chat: [{model: b}]
"""
PARIS = " Paris.\n"


@pytest.fixture(scope="module")
def server(
    embedded_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    assert embedded_model.exists()
    spec = tmp_path_factory.mktemp("spec") / "several.yaml"
    spec.write_text(SPEC)
    with serving(str(spec)) as running:
        yield running


def complete(server: RunningServer, model: str, worker: int | None = None) -> httpx.Response:
    path = "/v1" if worker is None else f"/v1/workers/{worker}/models/{model}"
    body = {
        "model": model, "prompt": "The capital of France is", "max_tokens": 5, "temperature": 0,
    }  # fmt: skip
    return httpx.post(f"{server.base}{path}/completions", json=body, trust_env=False, timeout=300)


def text(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["text"])


def steps(server: RunningServer) -> dict[str, float]:
    """Engine steps of each worker so far."""
    lines = httpx.get(f"{server.base}/metrics", trust_env=False).text.splitlines()
    found = {}
    for line in lines:
        if line.startswith("pilotage_engine_steps_total{"):
            found[line.split('worker="')[1].split('"')[0]] = float(line.rsplit(" ", 1)[1])
    return found


def workers_up(server: RunningServer) -> list[bool]:
    answer = httpx.get(f"{server.base}/health/ready", trust_env=False).json()
    return [worker["up"] for worker in answer["details"]["workers"]]


def until_all_up(server: RunningServer) -> None:
    deadline = time.monotonic() + 240
    while not all(workers_up(server)):
        assert time.monotonic() < deadline, "\n".join(server.lines[-20:])
        time.sleep(0.2)


def test_the_plan_names_models_and_slices(server: RunningServer) -> None:
    plan: Any = server.events[0]
    assert plan["model"] == "a"
    assert [model["model"] for model in plan["models"]] == ["a", "b", "c"]
    assert [model["load"] for model in plan["models"]] == ["preload", "preload", "lazy"]
    assert [worker["worker"] for worker in plan["workers"]] == [0, 1]
    assert all(worker["memory_budget_bytes"] == 1 << 30 for worker in plan["workers"])


def test_a_request_goes_to_the_worker_it_names(server: RunningServer) -> None:
    until_all_up(server)
    for worker in (0, 1):
        for model in ("a", "b"):
            before = steps(server)
            assert text(complete(server, model, worker)).startswith(PARIS)
            after = steps(server)
            other = str(1 - worker)
            assert after[str(worker)] > before.get(str(worker), 0)
            assert after.get(other, 0) == before.get(other, 0)
    refusal = complete(server, "a", 7)
    assert refusal.status_code == 404
    assert refusal.json()["error"]["code"] == "worker_not_found"


def test_requests_spread_over_both_workers(server: RunningServer) -> None:
    until_all_up(server)
    before = steps(server)
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda n: complete(server, "ab"[n % 2]), range(6)))
    assert all(text(answer).startswith(PARIS) for answer in answers)
    after = steps(server)
    assert all(after[worker] > before[worker] for worker in ("0", "1"))


def test_a_lazy_model_makes_room_for_itself_and_a_death_is_survived(server: RunningServer) -> None:
    until_all_up(server)
    assert text(complete(server, "b")).startswith(PARIS)  # so that a is used longest ago
    assert text(complete(server, "c")).startswith(PARIS)  # 1 GiB has room for two of them
    victim = server.worker_pids()[0]
    os.kill(victim, signal.SIGKILL)
    with ThreadPoolExecutor(6) as threads:
        answers = list(
            threads.map(lambda name: complete(server, name), ["b", "c", "chat", "b", "c", "chat"])
        )
    assert all(text(answer).startswith(PARIS) for answer in answers)
    until_all_up(server)
    for worker in (0, 1):
        assert text(complete(server, "c", worker)).startswith(PARIS)
    assert text(complete(server, "a")).startswith(PARIS)  # which makes room in its turn
    assert server.stop() == 0
