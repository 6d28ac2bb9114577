"""What `pilotage serve` refuses to start with: one clear line and the right exit code."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from in_process import pilotage
from running import run_serve, serving


def one_line(stderr: str) -> str:
    """The only line of an error; it is no traceback."""
    assert "Traceback" not in stderr
    lines = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, stderr
    return lines[0]


def refused_serve(*flags: str, **environment: str) -> tuple[int, str]:
    """`pilotage serve` in this process, which `test_a_taken_port` runs as one."""
    done = pilotage("serve", *flags, environment=environment)
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.fixture(autouse=True)
def _model_is_fetched(embedded_model: Path) -> None:
    assert embedded_model.exists()


def test_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, stderr = run_serve("--port", str(port))
    assert code == 1
    assert f"127.0.0.1:{port}: the port is taken" in one_line(stderr)
    assert "--port" in stderr


def test_no_memory_for_the_kv_cache() -> None:
    code, stderr = refused_serve("--port", "0", "--kv-cache", "900TiB")
    assert code == 1
    assert "no memory for a KV cache of 900TiB" in one_line(stderr)


def test_a_truncated_model(embedded_model: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    with embedded_model.open("rb") as whole:
        cut.write_bytes(whole.read(30_000_000))
    code, stderr = refused_serve(str(cut), "--port", "0")
    assert code == 1
    assert "cut.gguf: truncated" in one_line(stderr)


def test_a_corrupt_model(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(range(256)) * 10)
    code, stderr = refused_serve(str(bad), "--port", "0")
    assert code == 1
    assert "bad.gguf" in one_line(stderr)


def test_no_such_model() -> None:
    code, stderr = refused_serve("./nowhere.gguf", "--port", "0")
    assert code == 1
    assert "nowhere.gguf" in one_line(stderr)


def test_a_source_of_an_unknown_kind() -> None:
    code, stderr = refused_serve("ftp://host/model.gguf", "--port", "0")
    assert code == 2
    assert "ftp" in one_line(stderr)


def test_a_cache_folder_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    code, stderr = refused_serve("--port", "0", PILOTAGE_HOME=str(blocked))
    assert code == 1
    assert str(blocked) in one_line(stderr)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A real filesystem of 1 MiB, where this machine lets us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if mount is None or os.geteuid() != 0 or subprocess.run(command, check=False).returncode:
        pytest.skip("mounting a small disk needs root and a machine that allows it")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(full_disk: Path) -> None:
    code, stderr = refused_serve("--port", "0", PILOTAGE_HOME=str(full_disk))
    assert code == 1
    assert "disk" in one_line(stderr) or "space" in one_line(stderr)


def test_the_world_without_keys(tmp_path: Path) -> None:
    code, stderr = refused_serve(
        "--host", "0.0.0.0", "--port", "0", "--api-keys", str(tmp_path / "keys.json")
    )
    assert code == 2
    assert "no API keys" in one_line(stderr)
    assert "pilotage keys add" in stderr


def test_a_wrong_flag_and_a_wrong_spec(tmp_path: Path) -> None:
    code, stderr = refused_serve("--ttft-p99", "soon")
    assert code == 2
    assert "--ttft-p99" in one_line(stderr)
    spec = tmp_path / "spec.yaml"
    spec.write_text("name: x\nserving:\n  prot: 80\n")
    code, stderr = refused_serve(str(spec))
    assert code == 2
    assert 'spec.yaml:3: serving.prot: unknown key; did you mean "port"?' in stderr


@pytest.mark.timeout(300)
def test_keys_close_every_route_but_health_and_a_drain_ends_with_zero(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    made = subprocess.run(
        [sys.executable, "-m", "pilotage.cli.main", "keys", "add", "--name", "test",
         "--requests-per-minute", "1000", "--file", str(keys)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    key = made.stdout.strip()
    flags = ("--api-keys", str(keys), "--host", "0.0.0.0", "--ttft-p99", "60s")
    with serving(*flags) as server:
        base = server.base.replace("0.0.0.0", "127.0.0.1")
        with httpx.Client(base_url=base, trust_env=False, timeout=60) as client:
            for path in ("/v1/models", "/metrics", "/docs", "/openapi.json", "/nowhere"):
                denied = client.get(path)
                assert denied.status_code == 401, path
                assert denied.json()["error"]["code"] == "invalid_api_key"
            for path in ("/health/live", "/health/ready", "/health/startup", "/health", "/ping"):
                assert client.get(path).status_code == 200, path
            headers = {"Authorization": f"Bearer {key}"}
            assert client.get("/v1/models", headers=headers).status_code == 200
            body = {"prompt": "Hello", "model": "SmolLM2-135M-Instruct", "max_tokens": 2}
            answer = client.post("/v1/completions", headers=headers, json=body)
            assert answer.status_code == 200
            assert answer.headers["x-ratelimit-limit-requests"] == "1000"
        assert key not in "\n".join(server.lines)
        assert server.stop(signal.SIGTERM) == 0
        assert [event["event"] for event in server.events] == ["plan", "ready", "draining"]
