"""docs/compile.md as it stands: compiled, served by two workers, asked."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import RunningServer, serving

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "compile.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```\n```text\n(.*?)```", PAGE, re.DOTALL)
COMPILE, SERVE = re.findall(r"```console\n\$ pilotage (compile|serve) (.*?)```", PAGE, re.DOTALL)


def test_choosing_buckets_prints_what_the_page_says() -> None:
    code, output = EXAMPLES[0]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert printed.getvalue() == output


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page's first command makes; it prints what the page shows."""
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "examples").symlink_to(ROOT / "examples")
    command, *shown = COMPILE[1].splitlines()
    done = subprocess.run(
        [sys.executable, "-m", "pilotage.cli.main", "compile", *shlex.split(command)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "COLUMNS": "120"},
    )
    assert done.returncode == 0, done.stderr
    printed = [*done.stderr.splitlines(), *done.stdout.splitlines()]
    assert [line for line in printed if line in shown] == shown
    return folder / shown[-1]


@pytest.fixture(scope="module")
def server(artifact: Path) -> Iterator[RunningServer]:
    source, *flags = shlex.split(SERVE[1].strip())
    with serving(str(artifact.parent / source), *flags) as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_example_prints_what_the_page_says(server: RunningServer) -> None:
    code, output = EXAMPLES[1]
    done = subprocess.run(
        [sys.executable, "-c", code.replace("http://127.0.0.1:8000", server.base)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stderr, done.stdout) == ("", output)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_workers_share_one_big_request(server: RunningServer) -> None:
    def steps() -> dict[str, float]:
        text = httpx.get(f"{server.base}/metrics", trust_env=False).text
        found = re.findall(r'^(\w+_steps_total)\{[^}]*worker="(\d)"[^}]*\} (\S+)$', text, re.M)
        return {worker: float(value) for _, worker, value in found}

    before = steps()
    texts = [f"Sentence number {number} about dogs." for number in range(1500)]
    answer = httpx.post(
        f"{server.url}/embeddings",
        json={"model": "minilm", "input": texts},
        timeout=120,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"]) == 1500
    after = steps()
    assert set(after) == {"0", "1"}
    assert all(after[worker] > before.get(worker, 0) for worker in after)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_longer_than_the_longest_bucket_is_a_400(server: RunningServer) -> None:
    answer = httpx.post(
        f"{server.url}/embeddings",
        json={"model": "minilm", "input": "word " * 400},
        timeout=60,
        trust_env=False,
    )
    assert answer.status_code == 400
    assert "256" in answer.text
