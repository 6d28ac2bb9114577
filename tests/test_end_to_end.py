"""The whole loop, as `examples/end_to_end.sh` runs it: with real commands, and nothing left."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pilotage.fetch import default_home

_SCRIPT = Path(__file__).parent.parent / "examples" / "end_to_end.sh"


@pytest.mark.whole_machine
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("embedded_model")
def test_plans_fetches_serves_routes_ships_and_proves() -> None:
    environment = {
        **os.environ,
        "PILOTAGE": str(Path(sys.executable).with_name("pilotage")),
        "PYTHON": sys.executable,
    }
    environment.pop("PILOTAGE_SOURCE", None)
    done = subprocess.run(
        [_SCRIPT], env=environment, capture_output=True, text=True, timeout=380, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    heads = re.findall(r"^== (\w+)", done.stdout, re.MULTILINE)
    assert heads == ["plan", "fetch", "ship", "smoke", "prove", "route", "destroy", "done"]
    assert "nothing changes" in done.stdout  # what runs is what was rendered
    assert "3 of 3 completions" in done.stdout
    assert "Goodput" in done.stdout
    found = re.search(r"^(pilotage-end-to-end-\d+) is gone", done.stdout, re.MULTILINE)
    assert found is not None, said
    assert done.stdout.rstrip().endswith("proven and taken away")
    name = found[1]
    assert not (default_home() / "ship" / name).exists()
    assert [one for one in _command_lines() if name in one] == []


def _command_lines() -> list[str]:
    lines = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            lines.append(" ".join(process.cmdline()))
    return lines
