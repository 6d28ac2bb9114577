"""One node of a test: fetches what its order says, prints its result, gives until stdin closes."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3

from pilotage.errors import PilotageError, SourceError
from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.origin import TransientError
from pilotage.fetch.progress import Progress
from pilotage.fetch.retry import Retry
from pilotage.fetch.swarm import SwarmNetwork, SwarmOptions


class Body:
    def __init__(self, response: urllib3.BaseHTTPResponse, length: int) -> None:
        self._response = response
        self._left = length

    def readinto(self, buffer: memoryview) -> int:
        data = self._response.read(min(len(buffer), self._left))
        if not data and self._left:
            raise TransientError("the body ended early")
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


class RefusedError(SourceError):
    pass


class RangeOrigin:
    def __init__(self, url: str) -> None:
        self.name = url
        self._pool = urllib3.PoolManager(maxsize=8)

    @contextmanager
    def read(self, file: FileEntry, start: int, stop: int) -> Iterator[Body]:
        headers = {"Range": f"bytes={start}-{stop - 1}", "X-Node": str(os.getpid())}
        try:
            response = self._pool.request(
                "GET", f"{self.name}/{file.path}", headers=headers, preload_content=False
            )
            if response.status != 206:
                raise RefusedError(f"the origin answers {response.status}")
            yield Body(response, stop - start)
            response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(type(error).__name__) from error


def main() -> None:
    order = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(order["folder"])
    into, scratch = folder / "files", folder / "scratch"
    into.mkdir()
    scratch.mkdir()
    given = order["manifest"]
    manifest = Manifest(
        given["source"], given["id"], tuple(FileEntry(**file) for file in given["files"])
    )
    said: list[str] = []
    network = SwarmNetwork(swarm=SwarmOptions.from_environment(), say=said.append)
    steps: list[Progress] = []
    begun = time.monotonic()
    try:
        arrived = network.download(
            manifest,
            RangeOrigin(order["origin"]),
            into,
            scratch,
            retry=Retry(),
            progress=steps.append,
        )
        manifest.check_arrived(arrived)
    except PilotageError as error:
        result = {"error": str(error), "said": said}
    else:
        result = {
            "error": None,
            "said": said,
            "seconds": time.monotonic() - begun,
            "done": max(step.done for step in steps),
        }
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    network.close()


if __name__ == "__main__":
    main()
