"""Every example of docs/fetch.md that shows its output, run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "fetch.md").read_text()
EXAMPLES = re.findall(r"```(python|sh)\n(.*?)```\n```text\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_has_examples() -> None:
    assert [language for language, *_ in EXAMPLES] == ["python", "sh", "sh"]


@pytest.mark.usefixtures("embedded_model")
@pytest.mark.parametrize(("language", "code", "output"), EXAMPLES)
def test_an_example_prints_what_the_page_says(
    language: str, code: str, output: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", code] if language == "python" else ["sh", "-c", code]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout == output.replace("$PWD", str(tmp_path))
