"""``pilotage tracker`` in a real process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest
import typer

from pilotage.cli.tracker import tracker
from pilotage.errors import UsageError

PROGRAM = "import typer; from pilotage.cli.tracker import tracker; typer.run(tracker)"


def test_it_says_where_it_listens_and_stops_on_a_signal():
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, "--listen", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PILOTAGE_SWARM_TOKEN": "t"},
    ) as process:
        assert process.stderr is not None
        try:
            url = re.search(r"http://\S+", process.stderr.readline())[0]
            with urllib.request.urlopen(f"{url}/health", timeout=20) as answer:
                assert answer.read() == b'{"swarms":0,"nodes":0}'
        finally:
            process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.mark.parametrize("listen", ["6880", "host:1", "127.0.0.1:x", "127.0.0.1:70000"])
def test_a_malformed_address_is_refused(listen):
    with pytest.raises(UsageError, match="address:port"):
        tracker(listen=listen, quota=1)


def test_the_options_are_documented():
    from typer.testing import CliRunner

    app = typer.Typer()
    app.command()(tracker)
    assert "--quota" in CliRunner().invoke(app, ["--help"]).output
