"""``pilotage prove --start``: the spec's own server, started, timed, tested and stopped."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pilotage.prove.report import read_report


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_spec_is_started_timed_probed_and_stopped(embedded_model: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "spec.yaml").write_text(
        f"name: started\nserving: {{port: {port}, max_body: 1MiB}}\nslo: {{ttft_p99: 30s}}\n"
    )
    before = set(psutil.pids())
    done = subprocess.run(
        [
            sys.executable, "-m", "pilotage.cli.main", "prove", "spec.yaml", "--start",
            "--probe-payload", "--rate", "1/s", "--duration", "5s", "--prompt-tokens", "60",
            "--completion-tokens", "4", "--usd-per-hour", "1.2", "--out", "report",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = read_report(tmp_path / "report" / "report.json")
    assert report.cold_start is not None
    assert 1 < report.cold_start < 200
    assert report.max_payload is not None
    assert report.max_payload == pytest.approx(1024 * 1024, rel=0.03)
    assert not report.max_payload_is_bound
    assert report.costs is not None
    assert report.costs.per_million_requests is not None
    left = [
        process
        for process in psutil.process_iter(["pid", "cmdline"])
        if process.pid not in before
        and any("pilotage" in str(part) for part in process.info["cmdline"] or ())
        and str(port) in " ".join(process.info["cmdline"] or ())
    ]
    assert left == []
