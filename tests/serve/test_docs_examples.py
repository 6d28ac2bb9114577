"""Every Python example of README.md and docs/serve.md, run against a real server."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from running import RunningServer

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = [
    example
    for page in ("README.md", "docs/serve.md")
    for example in re.findall(
        r"```python\n(.*?)```\n```text\n(.*?)```", (ROOT / page).read_text(), re.DOTALL
    )
]


def test_the_pages_have_examples() -> None:
    assert len(EXAMPLES) == 4


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
