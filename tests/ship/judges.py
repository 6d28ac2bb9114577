"""What judges a template without an account: cfn-lint and checkov."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cfnlint.api import lint
from cfnlint.core import get_rules

CHECKOV = Path(__file__).parents[2] / ".venv-checkov" / "bin" / "checkov"


@cache
def _rules() -> Any:
    return get_rules([], [], ["W", "E"])


def lint_findings(text: str) -> list[str]:
    """What cfn-lint finds in a template."""
    found = lint(text, _rules(), ["us-east-1"])
    return [f"{one.rule.id} {one.path} {one.message}" for one in found]


@dataclass(frozen=True, slots=True)
class Checked:
    """A check of checkov's: "passed", "failed" or "skipped" by an exception."""

    outcome: str
    file: str
    resource: str
    check: str


def checkov_findings(folder: Path) -> list[Checked]:
    """What checkov says of a folder's templates."""
    ran = subprocess.run(
        [
            CHECKOV,
            *("-d", folder, "--framework", "cloudformation", "--output", "json"),
            *("--compact", "--skip-download"),
        ],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "LOG_LEVEL": "ERROR"},
        timeout=100,
    )
    results = json.loads(ran.stdout)["results"]
    return [
        Checked(outcome, Path(one["file_path"]).name, one["resource"], one["check_id"])
        for outcome in ("passed", "failed", "skipped")
        for one in results[f"{outcome}_checks"]
    ]
