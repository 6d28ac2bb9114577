"""The container's entrypoint: have the weights, then become the server.

Two steps, so that a log tells which of them failed or is slow. The weights are fetched into
``PILOTAGE_HOME``; what lies there already is not fetched again. Then this process *becomes*
``pilotage serve`` (exec, no shell between), so the platform's SIGTERM reaches the server itself and
starts its drain.

Platforms that can mount files put the spec at /etc/pilotage/spec.yaml. Those that cannot (ECS) pass
contents in variables, which are written to files of this user alone and are gone from the
environment when the server starts:

* ``PILOTAGE_SPEC_YAML``: the spec; where a variable may not be so long, it goes on in
  ``PILOTAGE_SPEC_YAML_2`` and so on
* ``PILOTAGE_SERVE_ARGUMENTS``: flags of ``pilotage serve``, where a platform has no room for them
* ``PILOTAGE_KEYS``: the file of API-key hashes
* ``PILOTAGE_ENGINE_COMMAND``: ``serving.engine_command``, of images that bring an engine

What lies on the host once the fetch has verified it is a line of the log, which ``pilotage ship
smoke`` reads: nobody has to be let onto the host for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from pilotage.ship.inside.places import KEYS_PATH, SPEC_PATH, WEIGHTS_LOGGER

_CONTENTS = ("PILOTAGE_SPEC_YAML", "PILOTAGE_KEYS")


def main(arguments: Sequence[str], environ: Mapping[str, str], program: str) -> int:
    """Fetch; then become the server, which never returns.

    Args:
        arguments: Further flags of ``pilotage serve``.
        environ: See above.
        program: The ``pilotage`` command.

    Returns:
        The exit status, if it came to no server.
    """
    folder = Path(tempfile.mkdtemp(prefix="pilotage-"))
    environ = _joined(environ)
    spec = _file(environ, "PILOTAGE_SPEC_YAML", folder / "spec.yaml", Path(SPEC_PATH))
    if spec is None:
        print(f"there is no spec: neither {SPEC_PATH} nor PILOTAGE_SPEC_YAML", file=sys.stderr)  # noqa: T201
        return 2
    keys = _file(environ, "PILOTAGE_KEYS", folder / "keys.json", Path(KEYS_PATH))
    inner = {name: value for name, value in environ.items() if name not in _CONTENTS}

    # SageMaker starts every container as "IMAGE serve".
    arguments = [*arguments[1:]] if arguments[:1] == ["serve"] else [*arguments]
    arguments += shlex.split(inner.get("PILOTAGE_SERVE_ARGUMENTS", ""))
    serve = [program, "serve", str(spec)]
    serve += ["--api-keys", str(keys)] if keys else []
    if command := inner.get("PILOTAGE_ENGINE_COMMAND"):
        serve += ["--engine-command", command]
    status, said = _run([program, "fetch", str(spec)], inner)
    if status == 0:
        print(_weights(said), flush=True)  # noqa: T201
        os.execve(program, [*serve, *arguments], inner)  # noqa: S606  exec is the point
    return status


def _joined(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with the spec in one piece."""
    found, number = dict(environ), 2
    while (piece := found.pop(f"{_CONTENTS[0]}_{number}", None)) is not None:
        found[_CONTENTS[0]] = found.get(_CONTENTS[0], "") + piece
        number += 1
    return found


def _file(environ: Mapping[str, str], variable: str, written: Path, mounted: Path) -> Path | None:
    """The file that a variable holds, or that is mounted; None if there is neither."""
    content = environ.get(variable)
    if content:
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        return written
    return mounted if mounted.is_file() else None


def _run(command: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str]:
    """Run to its end, passing SIGTERM on: the first process of a container has no defaults.

    Returns:
        Its status, and what it printed.
    """
    child = subprocess.Popen(command, env=dict(environ), stdout=subprocess.PIPE, text=True)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        said, _ = child.communicate()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    status = child.returncode
    return (128 - status if status < 0 else status), said


def _weights(said: str) -> str:
    """The line about what was fetched: the path that was printed, its files and their bytes."""
    printed = (said.strip().splitlines() or [""])[-1]
    path = Path(printed)
    files: list[Path] = [path] if path.is_file() else []
    if printed and path.is_dir():
        files = [one for one in path.rglob("*") if one.is_file()]
    found = {"path": printed, "bytes": sum(one.stat().st_size for one in files)}
    return json.dumps({"logger": WEIGHTS_LOGGER, **found, "files": len(files)})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ, str(Path(sys.executable).with_name("pilotage"))))
