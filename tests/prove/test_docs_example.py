"""The worked example of docs/prove.md, run as it stands there against a real server."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from running import serving

from pilotage.prove.report import read_report

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "prove.md").read_text()


@pytest.mark.whole_machine
@pytest.mark.timeout(300)
def test_the_worked_example(embedded_model: Path, tmp_path: Path) -> None:
    assert embedded_model.exists()
    (command,) = re.findall(r"^\$ pilotage (prove \S+ .*--out example)$", PAGE, re.MULTILINE)
    with serving("--ttft-p99", "120s") as server:
        arguments = shlex.split(command.replace("http://127.0.0.1:8000", server.base))
        done = subprocess.run(
            [sys.executable, "-m", "pilotage.cli.main", *arguments],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "100"},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    report = read_report(tmp_path / "example" / "report.json")
    # What the page says of it: so few requests decide nothing.
    assert "? Not enough evidence" in done.stdout
    assert re.search(r"run about \d+ more requests", " ".join(done.stdout.split()))
    assert report.measures.tokens.prompt_server == report.measures.tokens.prompt_tokenizer
    assert report.target.model == "SmolLM2-135M-Instruct"
    assert report.server is not None
    assert report.server.kind == "pilotage"
    assert report.server.mean is not None
    assert report.server.mean.kv_usage is not None
    assert report.server.mean.cpu is not None
    assert 0 < report.server.mean.cpu < 64
    assert report.server.mean.output_tokens_rate is not None
    assert report.server.mean.output_tokens_rate > 0
    assert report.server.queue_mean is not None
    assert report.server.ttft_mean is not None
    assert 0 <= report.server.queue_mean < report.server.ttft_mean
