"""Whole nodes in real processes, a tracker, and an origin that counts what it gives."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pilotage.fetch.swarm import TrackerServer

pytest.importorskip("libtorrent", reason="libtorrent is not installed (the extra 'swarm')")

TOKEN = "a secret of the fleet"
NODE = Path(__file__).with_name("node_process.py")


class CountingOrigin:
    """An HTTP server of byte ranges that counts bytes, and can be slow."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.sent = 0
        self.readers: set[str] = set()
        self.rate = 0.0  # bytes a second of a connection; 0 for no bound
        self.failing = False
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                data = origin.files.get(self.path.lstrip("/"))
                if data is None or origin.failing:
                    self.send_error(404)
                    return
                low, _, high = self.headers["Range"].removeprefix("bytes=").partition("-")
                part = data[int(low) : int(high) + 1]
                origin.readers.add(self.headers["X-Node"])
                self.send_response(206)
                self.send_header("Content-Length", str(len(part)))
                self.end_headers()
                for start in range(0, len(part), 64 << 10):
                    block = part[start : start + (64 << 10)]
                    try:
                        self.wfile.write(block)
                    except OSError:
                        return
                    origin.sent += len(block)
                    if origin.rate:
                        time.sleep(len(block) / origin.rate)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def size(self) -> int:
        return sum(len(data) for data in self.files.values())

    def manifest(self) -> dict[str, Any]:
        return {
            "source": "hf://test/model@1",
            "id": "1",
            "files": [
                {"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for name, data in self.files.items()
            ],
        }

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class NodeProcess:
    """A node; its one line of JSON on standard output is its result."""

    def __init__(
        self,
        folder: Path,
        named: CountingOrigin,
        environ: dict[str, str],
        asked: CountingOrigin,
    ) -> None:
        self.folder = folder
        folder.mkdir()
        order = {"origin": asked.url, "manifest": named.manifest(), "folder": str(folder)}
        (folder / "order.json").write_text(json.dumps(order))
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(NODE), str(folder / "order.json")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PILOTAGE_SWARM_LISTEN": "127.0.0.1:0", **environ},
        )
        self._line: bytes = b""

    def result(self) -> dict[str, Any]:
        """Wait for the node to have everything; it stays in the swarm."""
        if not self._line:
            assert self.process.stdout is not None
            self._line = self.process.stdout.readline()
        assert self._line, f"the node ended with {self.process.wait()}"
        result: dict[str, Any] = json.loads(self._line)
        return result

    def arrived(self) -> int:
        """Bytes on its disk so far, about."""
        return sum(f.stat().st_blocks * 512 for f in (self.folder / "files").rglob("*.bin"))

    def files(self) -> dict[str, bytes]:
        base = self.folder / "files"
        return {
            path.relative_to(base).as_posix(): path.read_bytes()
            for path in base.rglob("*")
            if path.is_file()
        }

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        if self.process.poll() is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        else:
            assert self.process.stdin is not None
            self.process.stdin.close()
        assert self.process.stdout is not None
        self.process.stdout.close()


StartNode = Callable[..., NodeProcess]


@pytest.fixture
def origin() -> Iterator[CountingOrigin]:
    noise = random.Random(1)
    served = CountingOrigin(
        {
            "config.json": b"{}",
            "weights/a.bin": noise.randbytes(11_000_003),
            "weights/b.bin": noise.randbytes(9_000_001),
            "empty.txt": b"",
        }
    )
    yield served
    served.stop()


@pytest.fixture
def evil(origin: CountingOrigin) -> Iterator[CountingOrigin]:
    """An origin that has files of the same names and sizes, and other bytes."""
    served = CountingOrigin({name: bytes(len(data)) for name, data in origin.files.items()})
    yield served
    served.stop()


@pytest.fixture
def token() -> str:
    return TOKEN


@pytest.fixture
def tracker() -> Iterator[TrackerServer]:
    server = TrackerServer("127.0.0.1", 0, token=TOKEN).start()
    yield server
    server.stop()


@pytest.fixture
def start_node(tmp_path: Path, origin: CountingOrigin) -> Iterator[StartNode]:
    nodes: list[NodeProcess] = []

    def start(*, of: CountingOrigin = origin, **options: str) -> NodeProcess:
        environ = {f"PILOTAGE_SWARM_{name.upper()}": value for name, value in options.items()}
        environ.setdefault("PILOTAGE_SWARM_TOKEN", TOKEN)
        node = NodeProcess(tmp_path / f"node{len(nodes)}", origin, environ, of)
        nodes.append(node)
        return node

    yield start
    for node in nodes:
        node.end()
