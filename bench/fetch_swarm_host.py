"""The programs that run on the hosts of `bench/fetch_swarm.py`: origin, tracker, node.

A node says ``ready`` when everything is imported, waits for a line, fetches the model, verifies
it, and prints one line of JSON. It stays (and gives to others) until its standard input closes.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

if __package__ in {None, ""}:  # run as a file: the repository is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pilotage.fetch.http import Address, HttpOrigin, Url
from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.retry import Retry
from pilotage.fetch.sources.network import Network
from pilotage.fetch.swarm import SwarmNetwork, SwarmOptions, TrackerServer

NAME = "model.safetensors"


def model(size: int) -> bytes:
    """The model's bytes: noise, the same everywhere."""
    return random.Random(size).randbytes(size)


class Bucket:
    """Bounds what one program sends, where the kernel does not."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free = time.monotonic()

    def take(self, size: int) -> None:
        """Wait until so many bytes may be sent."""
        if not self._rate:
            return
        with self._lock:
            self._free = max(self._free, time.monotonic() - 0.05) + size / self._rate
            wait = self._free - time.monotonic()
        if wait > 0:
            time.sleep(wait)


def origin(order: dict[str, Any]) -> None:
    """Serve the model in ranges, and count the bytes."""
    data = model(order["size"])
    bucket = Bucket(order["rate"])
    sent = [0]
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/sent":
                body = str(sent[0]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            low, _, high = self.headers["Range"].removeprefix("bytes=").partition("-")
            start, stop = int(low), min(int(high), len(data) - 1) + 1
            self.send_response(206)
            self.send_header("Content-Length", str(stop - start))
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
            self.send_header("ETag", '"1"')
            self.end_headers()
            for at in range(start, stop, 32 << 10):
                block = data[at : min(at + (32 << 10), stop)]
                bucket.take(len(block))
                try:
                    self.wfile.write(block)
                except OSError:
                    return
                with lock:
                    sent[0] += len(block)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

    server = Server((order["address"], 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _say({"url": f"http://{order['address']}:{server.server_address[1]}"})
    sys.stdin.read()


def tracker(order: dict[str, Any]) -> None:
    """Run Pilotage's tracker."""
    server = TrackerServer(order["address"], 0, token="bench").start()
    _say({"url": server.url})
    sys.stdin.read()
    server.stop()


def node(order: dict[str, Any]) -> None:
    """Fetch the model, alone or in the swarm."""
    size = order["size"]
    digest = hashlib.sha256(model(size)).hexdigest()
    manifest = Manifest(order["origin"], "1", (FileEntry(NAME, size, digest),))
    folder = Path(order["folder"])
    into, scratch = folder / "files", folder / "scratch"
    into.mkdir(parents=True)
    scratch.mkdir()
    swarm = None
    if order["tracker"]:
        swarm = SwarmNetwork(
            swarm=SwarmOptions(
                tracker=order["tracker"],
                token="bench",
                listen=order["address"],
                upload_rate=order["rate"],
            )
        )
    network = swarm or Network()
    url = Url.parse(f"{order['origin']}/{NAME}")
    with network.client(operators=url.host) as client:
        source = HttpOrigin(client, lambda _: Address(url), name=order["origin"])
        _say("ready")
        sys.stdin.readline()
        begun, cpu = time.monotonic(), time.process_time()
        arrived = network.download(
            manifest, source, into, scratch, retry=Retry(), progress=lambda _: None
        )
        manifest.check_arrived(arrived)
        _say({"begun": begun, "ended": time.monotonic(), "cpu": time.process_time() - cpu})
        sys.stdin.read()
    if swarm is not None:
        swarm.close()


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    {"origin": origin, "tracker": tracker, "node": node}[sys.argv[1]](json.loads(sys.argv[2]))
