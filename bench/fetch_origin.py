"""A hub that is not the bottleneck: one model out of the page cache, by ``sendfile``.

``python -m bench.fetch_origin FOLDER PORT`` serves the folder's files as the model ``bench/model``
by the hub's protocol, ranges included, so that Pilotage, huggingface_hub and curl can all download
it. It computes every digest before it answers. Sent bytes never pass through Python.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

REPO = "bench/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

_MIB = 1 << 20
_LARGE = (".safetensors", ".gguf")


@dataclass(frozen=True, slots=True)
class Served:
    """A file of the model.

    Attributes:
        path: On this disk.
        size: In bytes.
        oid: What the hub calls ``oid``: the git-sha1 of the file (of its pointer, if large).
        sha256: Of a large file; of a small one the hub says none.
    """

    path: Path
    size: int
    oid: str
    sha256: str | None

    @property
    def etag(self) -> str:
        """As the hub makes it."""
        return f'"{self.sha256 or self.oid}"'

    @staticmethod
    def of(path: Path) -> Served:
        """Hash a file."""
        size = path.stat().st_size
        git = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        sha256 = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_MIB):
                git.update(chunk)
                sha256.update(chunk)
        large = path.name.endswith(_LARGE)
        return Served(path, size, git.hexdigest(), sha256.hexdigest() if large else None)


class Origin:
    """The server; a thread a connection, which sleeps in ``sendfile``.

    Args:
        folder: Its files are the model's.
        port: 0 for any.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        paths = sorted(path for path in folder.iterdir() if path.is_file())
        self.files = {path.name: Served.of(path) for path in paths}
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def run(self) -> None:
        """Serve until `close`."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _converse(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as requests:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while line := requests.readline(65536):
                    headers: dict[str, str] = {}
                    while (header := requests.readline(65536)) not in {b"\r\n", b"\n", b""}:
                        name, _, value = header.decode("latin-1").partition(":")
                        headers[name.strip().lower()] = value.strip()
                    method, target, _ = line.decode("latin-1").split(" ", 2)
                    self._answer(connection, method, unquote(target.partition("?")[0]), headers)
            except (ConnectionError, ValueError):
                return

    def _answer(
        self, connection: socket.socket, method: str, path: str, headers: dict[str, str]
    ) -> None:
        if path == "/ready" or path.startswith(f"/api/models/{REPO}"):
            _send_json(connection, self._document(path))
            return
        name = path.removeprefix(f"/{REPO}/resolve/").partition("/")[2]
        if (served := self.files.get(name)) is None:
            _send_head(connection, "404 Not Found", {"X-Error-Code": "EntryNotFound"}, 0)
            return
        sent = {"ETag": served.etag, "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        start, stop, status = 0, served.size, "200 OK"
        if asked := headers.get("range", "").removeprefix("bytes="):
            first, _, last = asked.partition("-")
            start, stop = int(first), min(int(last or served.size) + 1, served.size)
            sent["Content-Range"] = f"bytes {start}-{stop - 1}/{served.size}"
            status = "206 Partial Content"
        _send_head(connection, status, sent, stop - start)
        if method == "GET":
            with served.path.open("rb", buffering=0) as file:
                while start < stop:
                    start += os.sendfile(connection.fileno(), file.fileno(), start, stop - start)

    def _document(self, path: str) -> object:
        if "/tree/" not in path:
            return {"id": REPO, "sha": COMMIT, "siblings": [{"rfilename": n} for n in self.files]}
        entries: list[dict[str, object]] = []
        for name, file in self.files.items():
            entry: dict[str, object] = {"type": "file", "path": name, "size": file.size}
            entry["oid"] = file.oid
            if file.sha256 is not None:
                entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
            entries.append(entry)
        return entries


def _send_json(connection: socket.socket, value: object) -> None:
    body = json.dumps(value).encode()
    _send_head(connection, "200 OK", {"Content-Type": "application/json"}, len(body))
    connection.sendall(body)


def _send_head(
    connection: socket.socket, status: str, headers: dict[str, str], length: int
) -> None:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
    connection.sendall("\r\n".join([*lines, f"Content-Length: {length}", "\r\n"]).encode())


if __name__ == "__main__":
    Origin(Path(sys.argv[1]), int(sys.argv[2])).run()
