"""Models and aliases of a real server, steered as docs/models.md says."""

from __future__ import annotations

import concurrent.futures
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from running import RunningServer, serving

from pilotage.cli.main import main

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text()
FENCED = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
VARIES = re.compile(r"cpu:[\d,-]+|[\d.]+[KMG]iB|[\d.]+m?s ago")


@pytest.fixture(scope="module")
def server(
    embedded_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """The page's own spec, served without keys."""
    assert embedded_model.exists()
    folder = tmp_path_factory.mktemp("models")
    (spec,) = (text for kind, text in FENCED.findall(PAGE) if kind == "yaml")
    (folder / "assistants.yaml").write_text(spec)
    keys = str(folder / "keys.json")
    with serving(
        str(folder / "assistants.yaml"), "--api-keys", keys, "--ttft-p99", "300s"
    ) as running:
        yield running


def plain(text: str) -> list[str]:
    """Lines without what differs from machine to machine."""
    lines = (" ".join(VARIES.sub("…", line).split()) for line in text.splitlines())
    return [line for line in lines if line]


@pytest.mark.timeout(300)
def test_the_worked_example(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PILOTAGE_API_KEY", raising=False)
    (session,) = (text for kind, text in FENCED.findall(PAGE) if kind == "console")
    for part in session.split("$ ")[1:]:
        command, _, output = part.partition("\n")
        monkeypatch.setattr(sys, "argv", [*shlex.split(command), "--url", server.base])
        assert sys.argv[0] == "pilotage"
        with pytest.raises(SystemExit) as ended:
            main()
        said = "".join(capsys.readouterr()).replace(server.base, "http://127.0.0.1:8000")
        assert plain(said) == plain(output), command
        assert ended.value.code == (2 if output.startswith("error") else 0)
    (code,) = (text for kind, text in FENCED.findall(PAGE) if kind == "python")
    (answer,) = (text for kind, text in FENCED.findall(PAGE) if kind == "text")
    done = subprocess.run(
        [sys.executable, "-c", code.replace("http://127.0.0.1:8000", server.base)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.stdout, done.stderr) == (answer, "")


class Client:
    """Short requests to the server."""

    def __init__(self, server: RunningServer) -> None:
        self.http = httpx.Client(base_url=server.base, timeout=240, trust_env=False)

    def complete(self, model: str, path: str = "/v1/completions") -> httpx.Response:
        body = {"model": model, "prompt": "Once", "max_tokens": 2, "temperature": 0}
        return self.http.post(path, json=body)

    def alias(self, name: str, **weights: float) -> None:
        targets = [{"model": model, "weight": weight} for model, weight in weights.items()]
        answer = self.http.put(f"/v1/admin/aliases/{name}", json={"targets": targets})
        assert answer.status_code == 200, answer.text

    def state(self, model: str) -> str:
        listed = self.http.get("/v1/admin/models").json()["data"]
        return next(one["state"] for one in listed if one["name"] == model)


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    client = Client(server)
    for model in ("small", "large"):
        assert client.http.post(f"/v1/admin/models/{model}/load").status_code == 200
    yield client
    client.http.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_canary_gets_its_share_and_no_move_fails_a_request(client: Client) -> None:
    client.alias("chat", small=9, large=1)
    went = [client.complete("chat").json()["model"] for _ in range(20)]
    assert (went.count("small"), went.count("large")) == (18, 2)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(client.complete, "chat") for _ in range(60)]
        for turn in range(20):
            client.alias("chat", **{("large", "small")[turn % 2]: 1})
        assert {answer.result().status_code for answer in answers} == {200}
    client.alias("chat", large=1)
    assert client.complete("chat").json()["model"] == "large"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_unloading_lets_a_stream_finish_and_the_next_request_loads_again(client: Client) -> None:
    body = {"model": "small", "prompt": "Once", "max_tokens": 200, "ignore_eos": True}
    with client.http.stream("POST", "/v1/completions", json=body | {"stream": True}) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("data: ")
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            unloading = thread.submit(client.http.post, "/v1/admin/models/small/unload")
            rest = list(lines)
            assert unloading.result().json()["state"] == "unloaded"
    assert "data: [DONE]" in rest
    assert client.state("small") == "unloaded"
    assert client.complete("small").status_code == 200
    assert client.state("small") == "ready"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_that_is_named_answers_and_one_that_is_not_there_is_a_404(client: Client) -> None:
    path = "/v1/workers/{}/models/small/completions"
    assert client.complete("small", path.format(0)).json()["model"] == "small"
    for worker in ("1", "12", "x", "-1"):
        answer = client.complete("small", path.format(worker))
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "worker_not_found")
    assert client.complete("large", path.format(0)).status_code == 400
