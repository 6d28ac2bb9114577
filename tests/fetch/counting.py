"""An origin over HTTP that counts what it serves, and a source that reads it and can go on.

Run as a program, it fetches one model and prints its path: ``counting.py URL NAME [slow|stuck]``.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pilotage.fetch.model as model_module
from pilotage.errors import SourceError
from pilotage.fetch import FileEntry, Manifest, Phase, Progress, ProgressListener, fetch

PIECE = 1 << 16


class Origin:
    """Models by name, each with files by path; and what was asked for."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, bytes]] = {}
        self.calls: Counter[str] = Counter()
        self.served = 0
        self.starts: dict[str, list[int]] = {}
        self.url = ""
        self._lock = threading.Lock()

    def answer(self, path: str, start: int) -> bytes | None:
        _, name, *rest = path.split("/", 2)
        if name not in self.models:
            return None
        files = self.models[name]
        if rest:
            body = files[rest[0]][start:]
        else:
            body = json.dumps(
                [
                    [path, len(data), hashlib.sha256(data).hexdigest()]
                    for path, data in files.items()
                ]
            ).encode()
        with self._lock:
            self.calls[path] += 1
            self.served += len(body) if rest else 0
            self.starts.setdefault(path, []).append(start)
        return body


@contextmanager
def running_origin() -> Iterator[Origin]:
    origin = Origin()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            start = int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
            body = origin.answer(self.path, start)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            with suppress(ConnectionError):  # the reader was killed
                self.wfile.write(body or b"")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    origin.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield origin
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class CountingSource:
    """Reads an `Origin`; its journal is simply how long each file is."""

    url: str
    name: str

    @property
    def uri(self) -> str:
        return f"counting://{self.name}"

    @property
    def in_place(self) -> None:
        return None

    def resolve(self) -> Manifest:
        try:
            with urllib.request.urlopen(f"{self.url}/{self.name}") as answer:
                files = json.load(answer)
        except urllib.error.HTTPError as error:
            raise SourceError("there is no such model", where=self.uri) from error
        return Manifest(self.uri, "1", tuple(FileEntry(*file) for file in files))

    def fetch(
        self, manifest: Manifest, into: Path, scratch: Path, progress: ProgressListener
    ) -> Manifest:
        (scratch / "journal").write_text(manifest.id)
        arrived = []
        for file in manifest.files:
            path = into / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as target:
                request = urllib.request.Request(f"{self.url}/{self.name}/{file.path}")
                request.add_header("Range", f"bytes={target.tell()}-")
                with urllib.request.urlopen(request) as answer:
                    while piece := answer.read(PIECE):
                        target.write(piece)
                        target.flush()
                        progress(Progress(Phase.DOWNLOAD, file.path, target.tell(), file.size))
            data = path.read_bytes()
            arrived.append(FileEntry(file.path, len(data), hashlib.sha256(data).hexdigest()))
        return Manifest(manifest.source, manifest.id, tuple(arrived))


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main() -> None:
    url, name, how = [*sys.argv[1:], "fast"][:3]
    model_module.parse_source = lambda uri, **_: CountingSource(url, uri)
    last = None

    def hear(progress: Progress) -> None:
        nonlocal last
        if progress.phase is not last or how in {"slow", "stuck"}:
            say(progress.phase.value, progress.file, progress.done)
            last = progress.phase
        if how == "slow":
            time.sleep(0.05)
        elif how == "stuck" and progress.phase is Phase.DOWNLOAD and progress.done > PIECE:
            time.sleep(60)

    say("started")
    if how == "ready":
        sys.stdin.readline()
    say(fetch(name, progress=hear).path)


if __name__ == "__main__":
    main()
