"""Giving what was had, for a while, in a process of its own: ``python -m …swarm.seed``.

`pilotage fetch` ends when the model is there, so that what comes after it can begin; the child
that it leaves behind serves the published files to nodes that start later. It writes nothing,
runs at a lower priority, and ends after its time, or when the files are gone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import msgspec

from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.swarm.layout import Layout
from pilotage.fetch.swarm.meeting import meeting
from pilotage.fetch.swarm.metainfo import ChunkRecord, checked_record
from pilotage.fetch.swarm.network import Shared
from pilotage.fetch.swarm.node import SwarmNode
from pilotage.fetch.swarm.options import SwarmOptions


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
    child = subprocess.Popen(
        [sys.executable, "-m", "pilotage.fetch.swarm.seed"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PILOTAGE_SWARM_TOKEN": options.token},
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(json.dumps(order).encode())
        child.stdin.close()
        ready = child.stdout.readline()
    except BrokenPipeError:
        ready = b""
    child.stdout.close()
    return child.pid if ready == b"seeding\n" else None


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
