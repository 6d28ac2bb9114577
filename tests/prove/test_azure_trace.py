"""A real run: a recorded trace against a real server, and its report in a real browser."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from chromium import Browser, browsing
from running import serving

from pilotage.prove.report import read_report

TRACE = "azure_conversation_2023.csv"


def _trace(folder: Path) -> Path:
    """The Azure trace where it lies beside the checkout; else one of the same form."""
    given = os.environ.get("PILOTAGE_AZURE_TRACE")
    beside = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces" / TRACE
    for path in (Path(given) if given else beside, beside):
        if path.is_file():
            return path
    draw = random.Random(1)
    at, rows = 0.0, ["arrived_at,num_prefill_tokens,num_decode_tokens"]
    for _ in range(500):
        rows.append(f"{at},{draw.randint(20, 1500)},{draw.randint(5, 300)}")
        at += draw.expovariate(5)
    path = folder / "like_azure.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_trace_against_a_real_server_and_its_report_clicked_through(
    embedded_model: Path, tmp_path: Path
) -> None:
    assert embedded_model.exists()
    trace = _trace(tmp_path)
    with serving("--ttft-p99", "60s") as server:
        done = subprocess.run(
            [
                sys.executable, "-m", "pilotage.cli.main", "prove", server.base,
                "--trace", str(trace), "--rate", "0.5/s", "--duration", "60s", "--warm-up", "5s",
                "--ttft-p99", "20s", "--timeout", "120s", "--out", str(tmp_path / "report"),
            ],
            capture_output=True, text=True, timeout=500, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = read_report(tmp_path / "report" / "report.json")
    assert trace.name in report.workload.arrivals
    assert report.measures.outcomes.get("complete", 0) > 5
    assert report.measures.tokens.prompt_server == report.measures.tokens.prompt_tokenizer
    assert report.server is not None
    assert report.server.samples
    with browsing(tmp_path) as browser:
        _click_through(browser, tmp_path / "report" / "report.html")


def _click_through(browser: Browser, page: Path) -> None:
    browser.open(page)
    tabs = browser.all("[role=tab]")
    assert len(tabs) > 3
    for tab in tabs:
        if tab.is_displayed():
            tab.click()
            assert tab.get_attribute("aria-selected") == "true"
            panel = browser.one(f"#{tab.get_attribute('aria-controls')}")
            assert panel.is_displayed()
    assert browser.complaints() == []
