"""What judges a template without an account: cfn-lint and checkov."""

from __future__ import annotations

import json
import os
import subprocess
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


def checkov_findings(folder: Path) -> tuple[list[str], list[tuple[str, str, str]], int]:
    """What checkov finds in a folder's templates, the exceptions it used, how much it passed."""
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
    return (
        [f"{one['check_id']} {one['resource']}" for one in results["failed_checks"]],
        [
            (Path(one["file_path"]).name, one["resource"], one["check_id"])
            for one in results["skipped_checks"]
        ],
        len(results["passed_checks"]),
    )
