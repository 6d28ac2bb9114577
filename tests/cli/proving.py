"""Runs `pilotage prove` for tests, as a process or in the test's own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pilotage.cli.main import main


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
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "200")
        patch.setenv("PILOTAGE_API_KEY", key)
        patch.setattr(sys, "argv", ["pilotage", "prove", *map(str, args)])
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
    code = ended.value.code
    assert isinstance(code, int | None)
    return code or 0, out.getvalue(), err.getvalue()
