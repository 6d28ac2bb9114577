"""Runs `pilotage prove` for tests, as a process or in the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from in_process import pilotage


def start_prove(*args: object, folder: Path, key: str = "") -> subprocess.Popen[str]:
    environment = {**os.environ, "COLUMNS": "200", "PILOTAGE_API_KEY": key}
    return subprocess.Popen(
        [sys.executable, "-m", "pilotage.cli.main", "prove", *map(str, args)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def prove(*args: object, folder: Path, key: str = "") -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command, run in ``folder``.

    In this process, where the imports are paid for once; the senders are processes as always.
    """
    done = pilotage(
        "prove", *args, folder=folder, environment={"COLUMNS": "200", "PILOTAGE_API_KEY": key}
    )
    return done.returncode, done.stdout, done.stderr
