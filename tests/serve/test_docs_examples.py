"""Every Python example of docs/serve.md, run against a real server."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import RunningServer, serving

PAGE = Path(__file__).resolve().parents[2] / "docs" / "serve.md"
EXAMPLES = re.findall(r"```python\n(.*?)```\n```text\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def server(embedded_model: Path) -> Iterator[RunningServer]:
    assert embedded_model.exists()
    with serving("--ttft-p99", "120s") as running:
        yield running


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("code", "output"), EXAMPLES)
def test_an_example_prints_what_the_page_says(
    server: RunningServer, code: str, output: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code.replace("http://127.0.0.1:8000", server.base)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == output
