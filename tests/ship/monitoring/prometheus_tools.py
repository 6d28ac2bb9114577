"""The real promtool and prometheus, where scripts/prometheus.sh found them."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

UNPACKED = Path(__file__).parents[3] / ".venv-prometheus" / "usr" / "bin"
WAIT_S = 30.0
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def tool(name: str) -> str | None:
    found = UNPACKED / name
    return str(found) if found.exists() else shutil.which(name)


PROMTOOL, PROMETHEUS = tool("promtool"), tool("prometheus")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not here: scripts/prometheus.sh"
)
needs_prometheus = pytest.mark.skipif(
    PROMETHEUS is None, reason="prometheus is not here: scripts/prometheus.sh"
)


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run(
        [PROMTOOL, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"GOMAXPROCS": "1"},
    )


@contextmanager
def serving(pages: Mapping[str, Callable[[], bytes]]) -> Iterator[str]:
    """Pages of text over HTTP on 127.0.0.1, each made anew; yields host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = pages[self.path]()
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Running:
    """A prometheus that is asked through its HTTP API."""

    def __init__(self, address: str) -> None:
        self._address = address

    def ask(self, path: str, **parameters: str) -> Any:
        url = f"http://{self._address}/{path}?{urllib.parse.urlencode(parameters)}"
        with _DIRECTLY.open(url, timeout=10) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query; what Prometheus refuses is told with its words."""
        try:
            return cast(
                "list[dict[str, Any]]", self.ask("api/v1/query", query=expression)["result"]
            )
        except urllib.error.HTTPError as error:
            pytest.fail(f"{expression}: {error.read().decode()}")

    def until(self, ready: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + WAIT_S
        while True:
            try:
                if ready():
                    return
            except (OSError, AssertionError):
                pass
            assert time.monotonic() < end, f"Prometheus: {what} did not come"
            time.sleep(0.1)


@contextmanager
def prometheus(folder: Path, config: Mapping[str, Any]) -> Iterator[Running]:
    """A prometheus of its own, ended whatever happens."""
    assert PROMETHEUS is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / "prometheus.yml").write_text(yaml.safe_dump(dict(config)))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
            env={"GOMAXPROCS": "1"},
        )
        try:
            yield Running(address)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
