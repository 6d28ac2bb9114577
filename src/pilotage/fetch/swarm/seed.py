"""Giving what was had, for a while, in a process of its own: ``python -m …swarm.seed``.

`pilotage fetch` ends when the model is there, so that what comes after it can begin; the child
that it leaves behind serves the published files to nodes that start later. It writes nothing,
runs at a lower priority, and ends after its time, or when the files are gone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final

import msgspec

from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.swarm.layout import Layout
from pilotage.fetch.swarm.meeting import meeting
from pilotage.fetch.swarm.metainfo import ChunkRecord, checked_record
from pilotage.fetch.swarm.network import Shared
from pilotage.fetch.swarm.node import SwarmNode
from pilotage.fetch.swarm.options import SwarmOptions

_KEPT: Final = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "PYTHONPATH", "LD_LIBRARY_PATH")
"""What of the environment the child needs; the tokens of origins are not among it."""


def leave_seed(shared: Sequence[Shared], files: Path, options: SwarmOptions) -> int | None:
    """Start a seeding process and wait until it listens.

    Args:
        shared: What there is to give.
        files: The folder that the manifests' paths are relative to now.
        options: As this node took part; the token goes by the environment, never by arguments.

    Returns:
        The process's id; None when there is nothing to give, or it could not start.
    """
    if not shared or options.seed_s <= 0:
        return None
    order = {
        "files": str(files.absolute()),
        "options": {**asdict(options), "token": ""},
        "shared": [
            {
                "manifest": {
                    "source": one.manifest.source,
                    "id": one.manifest.id,
                    "files": [asdict(file) for file in one.manifest.files],
                },
                "records": msgspec.to_builtins(list(one.records)),
            }
            for one in shared
        ],
    }
    pid, orders, answers = _spawn(options.token)
    try:
        with open(orders, "wb") as stream:  # noqa: PTH123 - a descriptor
            stream.write(json.dumps(order).encode())
    except BrokenPipeError:
        pass  # it ended at once; the answer will say so
    with open(answers, "rb") as stream:  # noqa: PTH123 - likewise
        return pid if stream.readline() == b"seeding\n" else None


def _spawn(token: str) -> tuple[int, int, int]:
    """Start the child in a session of its own; it is not waited for, as it outlives us.

    Returns:
        Its id, where its standard input is written, and where its standard output is read.
    """
    theirs_in, orders = os.pipe()
    answers, theirs_out = os.pipe()
    quiet = os.open(os.devnull, os.O_WRONLY)
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "pilotage.fetch.swarm.seed"],
            {name: os.environ[name] for name in _KEPT if name in os.environ}
            | {"PILOTAGE_SWARM_TOKEN": token},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs_in, 0),
                (os.POSIX_SPAWN_DUP2, theirs_out, 1),
                (os.POSIX_SPAWN_DUP2, quiet, 2),
            ],
            setsid=True,
        )
    finally:
        for descriptor in (theirs_in, theirs_out, quiet):
            os.close(descriptor)
    return pid, orders, answers


def main() -> None:
    """Read what to give from standard input, and give it."""
    order = json.load(sys.stdin)
    token = os.environ.pop("PILOTAGE_SWARM_TOKEN", "")
    given = order["options"]
    options = SwarmOptions(**{**given, "peers": tuple(given["peers"]), "token": token})
    files = Path(order["files"])
    os.nice(10)
    with ExitStack() as stack:
        rendezvous = stack.enter_context(meeting(options))
        for one in order["shared"]:
            manifest = Manifest(
                one["manifest"]["source"],
                one["manifest"]["id"],
                tuple(FileEntry(**file) for file in one["manifest"]["files"]),
            )
            layout = Layout.of(manifest)
            node = SwarmNode(
                layout, [files / file.path for file in layout.files], rendezvous, options
            )
            stack.callback(node.close)
            records = msgspec.convert(one["records"], list[ChunkRecord])
            node.give([checked_record(layout, record) for record in records])
        sys.stdout.write("seeding\n")
        sys.stdout.flush()
        sys.stdout.close()
        end = time.monotonic() + options.seed_s
        while time.monotonic() < end and files.is_dir():
            time.sleep(1.0)


if __name__ == "__main__":
    main()
