"""The verbs of ``pilotage``: all there, and none imported before it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from pilotage.cli.main import app
from pilotage.cli.verbs import VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_there(verb: str) -> None:
    told = CliRunner().invoke(app, [verb, "--help"])
    assert told.exit_code == 0, told.output
    assert told.output.startswith("Usage: pilotage " + verb)


def test_help_lists_them_all_in_order() -> None:
    told = CliRunner().invoke(app, ["--help"])
    listed = told.output.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in listed if line.startswith("  ")] == list(VERBS)


def test_a_verb_that_is_not_there_is_a_usage_error_with_the_nearest() -> None:
    told = CliRunner().invoke(app, ["keyz"])
    assert told.exit_code == 2
    assert "'keys'" in told.output


def test_a_command_that_needs_little_imports_little() -> None:
    code = (
        "import sys; from pilotage.cli.main import main\n"
        "sys.argv[1:] = ['--version']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines())
    assert "pilotage.cli.verbs" in imported
    assert not imported & {"pydantic", "pilotage.spec", "pilotage.cli.serve", "asyncio", "httpx"}
