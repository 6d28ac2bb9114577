"""One download by one tool, as a process: timed, settled on the disk, and its bytes compared."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from bench.fetch_origin import COMMIT, REPO
from bench.fetch_report import MIB, Run
from bench.fetch_tools import CURL, Took, environment
from bench.processes import ROOT, StartError, free_port, server

MODEL = "model.safetensors"

_TIMEOUT_S = 600


def make_model(folder: Path, size: int) -> dict[str, str]:
    """Write a model of noise, no two MiB of it alike; the sha256 of each file by its name."""
    noise = random.Random(7).randbytes(MIB)
    tensor = {"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    header = json.dumps(tensor).encode()
    with (folder / MODEL).open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for at in range(0, size, MIB):
            file.write((at.to_bytes(8, "little") + noise[8:])[: size - at])
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "generation_config.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 4096}')
    (folder / "tokenizer.json").write_text(json.dumps({"noise": noise.hex()}))
    return {path.name: sha256_of(path) for path in folder.iterdir()}


@contextmanager
def origin(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The server process, and its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "bench.fetch_origin", folder, port]
    with server("fetch-origin", command, ready_url=f"{url}/ready", ready_timeout_s=60) as process:
        yield url, psutil.Process(process.pid)


def run(tool: str, url: str, folder: Path, digests: dict[str, str], process: psutil.Process) -> Run:
    """One tool, once, into an empty folder below `folder`; the bytes are checked afterwards.

    Raises:
        StartError: It failed, or the bytes are wrong.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-fetch-") as name:
        into, settings = Path(name, "model"), Path(name, "settings")
        into.mkdir()
        settings.mkdir()
        command = (
            _curl(url, [(each, str(into / each)) for each in digests])
            if tool == CURL
            else [sys.executable, "-m", "bench.fetch_tools", tool, str(into)]
        )
        before = _cpu_s(process)
        began = time.perf_counter()
        output, cpu_s = _run(command, environment(url, settings))
        process_s = time.perf_counter() - began
        origin_cpu_s = _cpu_s(process) - before
        settle_s = _settle(into)
        took = (
            Took(process_s, 0.0, 0.0, _curl_version())
            if tool == CURL
            else msgspec.json.decode(output, type=Took)
        )
        check(tool, into, digests)
    return Run(tool, took, process_s, cpu_s, origin_cpu_s, settle_s)


def drain(url: str, names: Sequence[str]) -> float:
    """Seconds in which the origin sends all files to a curl that drops them."""
    began = time.perf_counter()
    _run(_curl(url, [(name, os.devnull) for name in names]), environment(url, Path(os.devnull)))
    return time.perf_counter() - began


def check(tool: str, folder: Path, digests: dict[str, str]) -> None:
    """Compare what arrived with what was served.

    Raises:
        StartError: It differs.
    """
    # huggingface_hub names files by links into its blobs; ours may have blobs as second names.
    arrived = {path.name: path for path in folder.rglob("*") if path.name in digests}
    for name, sha256 in digests.items():
        if name not in arrived or sha256_of(arrived[name]) != sha256:
            raise StartError(f"{tool} did not deliver {name} as it was served")


def _curl(url: str, files: Sequence[tuple[str, str]]) -> list[str]:
    command = ["curl", "--silent", "--show-error", "--fail"]
    for name, into in files:
        command += ["--output", into, f"{url}/{REPO}/resolve/{COMMIT}/{name}"]
    return command


def _curl_version() -> str:
    said = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True)
    return said.stdout.split()[1]


def _run(command: Sequence[str], env: dict[str, str]) -> tuple[bytes, float]:
    """What a command prints, and the CPU seconds that it used.

    Raises:
        StartError: It failed, or took too long.
    """
    before = os.times()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, check=True, timeout=_TIMEOUT_S
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace")[-800:]
        raise StartError(f"{command[:4]} failed: {said}") from error
    except subprocess.TimeoutExpired as error:
        raise StartError(f"{command[:4]} did not end in {_TIMEOUT_S} s") from error
    after = os.times()
    user_s = after.children_user - before.children_user
    return done.stdout, user_s + after.children_system - before.children_system


def _settle(folder: Path) -> float:
    """Seconds until all files below `folder` are on the disk."""
    began = time.perf_counter()
    for path in _files(folder):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    return time.perf_counter() - began


def _files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()]


def sha256_of(path: Path) -> str:
    """The digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)
