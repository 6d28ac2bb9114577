"""The entrypoint as a process: what it runs, in which order, and what it passes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """\
#!{python}
import json, os, pathlib, stat, sys, time
kept = {{name: value for name, value in os.environ.items() if name.startswith("PILOTAGE")}}
files = {{
    one: [pathlib.Path(one).read_text(), oct(stat.S_IMODE(os.stat(one).st_mode))]
    for one in sys.argv[1:] if one.startswith("/")
}}
line = json.dumps({{"argv": sys.argv[1:], "env": kept, "files": files, "pid": os.getpid()}})
with open(os.environ["SEEN"], "a") as file:
    file.write(line + "\\n")
if sys.argv[1] == "fetch":
    time.sleep(float(os.environ.get("FETCH_S", "0")))
    print("fetched\\n" + os.environ.get("FETCHED", ""))
    sys.exit(int(os.environ.get("FETCH_STATUS", "0")))
"""
START = """\
import os, sys
from pilotage.ship.inside.fetch_then_serve import main
sys.exit(main(sys.argv[2:], os.environ, sys.argv[1]))
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "pilotage"
    file.write_text(PROGRAM.format(python=sys.executable))
    file.chmod(0o755)
    return file


def start(program: Path, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PILOTAGE")},
        "SEEN": str(program.parent / "seen"),
        "TMPDIR": str(program.parent),
        **variables,
    }
    return subprocess.Popen(
        [sys.executable, "-c", START, str(program), *arguments],
        env=environment,
        stderr=subprocess.PIPE,
    )


def seen(program: Path) -> list[dict[str, object]]:
    file = program.parent / "seen"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_it_fetches_and_then_becomes_the_server(program: Path) -> None:
    process = start(
        program,
        "--port",
        "8000",
        "$(touch /tmp/never); `id`",
        PILOTAGE_SPEC_YAML="name: receipts\n",
        PILOTAGE_KEYS='{"keys": []}',
        PILOTAGE_HOME="/models",
        PILOTAGE_ENGINE_COMMAND="python3",
    )
    assert process.wait(30) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    fetch, serve = seen(program)
    spec = fetch["argv"][1]  # type: ignore[index]
    keys = serve["argv"][3]  # type: ignore[index]
    assert fetch["argv"] == ["fetch", spec]
    assert serve["argv"] == [
        "serve", spec, "--api-keys", keys, "--engine-command", "python3",
        "--port", "8000", "$(touch /tmp/never); `id`",
    ]  # fmt: skip
    assert serve["pid"] == process.pid
    assert serve["files"] == {
        spec: ["name: receipts\n", "0o600"],
        keys: ['{"keys": []}', "0o600"],
    }
    # Keys and spec are files now, and no variable that a child or a crash report would show.
    assert serve["env"] == {"PILOTAGE_HOME": "/models", "PILOTAGE_ENGINE_COMMAND": "python3"}


def test_a_fetch_that_fails_serves_nothing(program: Path) -> None:
    process = start(program, PILOTAGE_SPEC_YAML="name: a", FETCH_STATUS="7")
    assert process.wait(30) == 7
    assert process.stderr is not None
    process.stderr.close()
    assert [one["argv"][0] for one in seen(program)] == ["fetch"]  # type: ignore[index]


def test_no_spec_is_said(program: Path) -> None:
    process = start(program)
    assert process.wait(30) == 2
    assert process.stderr is not None
    assert b"PILOTAGE_SPEC_YAML" in process.stderr.read()
    process.stderr.close()
    assert seen(program) == []


def test_sigterm_ends_a_fetch_and_starts_no_server(program: Path) -> None:
    process = start(program, PILOTAGE_SPEC_YAML="name: a", FETCH_S="60")
    until = time.monotonic() + 20
    while not seen(program) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGTERM
    assert process.stderr is not None
    process.stderr.close()
    assert [one["argv"][0] for one in seen(program)] == ["fetch"]  # type: ignore[index]


@pytest.mark.parametrize("whole", [True, False])
def test_what_lies_on_the_host_is_a_line_of_the_log(program: Path, whole: bool) -> None:
    model = program.parent / "models" / "one"
    (model / "inner").mkdir(parents=True)
    (model / "config.json").write_bytes(b"12")
    (model / "inner" / "weights.bin").write_bytes(b"345")
    path = model if whole else model / "config.json"
    process = subprocess.run(
        [sys.executable, "-c", START, str(program)],
        env={
            **os.environ,
            "SEEN": str(program.parent / "seen"),
            "TMPDIR": str(program.parent),
            "PILOTAGE_SPEC_YAML": "name: a",
            "FETCHED": str(path),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert json.loads(process.stdout) == {
        "logger": "pilotage.weights",
        "path": str(path),
        "bytes": 5 if whole else 2,
        "files": 2 if whole else 1,
    }
