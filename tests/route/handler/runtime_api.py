"""Lambda's runtime API as the runtime in a container sees it, and that runtime as a process.

The four calls are those of the documentation ("Using the Lambda runtime API"): the next
invocation, its response, its error, and the error of the init phase.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

_PREFIX = "/2018-06-01/runtime"
_LONGEST_S = 30.0


@dataclass(frozen=True)
class Posted:
    """What the runtime sent back: "response", "error" or "init"."""

    kind: str
    request_id: str
    body: Any
    raw: bytes


class RuntimeApi:
    """The API and a process of the real runtime interface client, while it is entered.

    Args:
        environ: The function's environment variables.
        folder: Where it runs, and where its log goes.
    """

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        self._environ = environ
        self._folder = folder
        self._events: queue.Queue[tuple[str, bytes, float] | None] = queue.Queue()
        self._posted: queue.Queue[Posted] = queue.Queue()
        self._count = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        # A process that is killed resets its connections; nobody needs to read about it.
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.process: subprocess.Popen[bytes]

    def invoke(self, event: Any, *, seconds: float = 30.0) -> Any:
        """What the function answers to an event.

        Args:
            event: Any JSON value.
            seconds: How long Lambda would let it run.
        """
        posted = self.invoke_raw(event, seconds=seconds)
        assert posted.kind == "response", posted
        return posted.body

    def invoke_raw(self, event: Any, *, seconds: float = 30.0) -> Posted:
        """What the runtime sends back for an event, whatever it is."""
        self._count += 1
        request_id = f"00000000-0000-4000-8000-{self._count:012d}"
        self._events.put((request_id, json.dumps(event).encode(), seconds))
        posted = self._posted.get(timeout=_LONGEST_S)
        assert posted.request_id in (request_id, ""), posted
        return posted

    def init_error(self) -> Posted:
        """The error of the init phase, after which the runtime has ended."""
        posted = self._posted.get(timeout=_LONGEST_S)
        assert posted.kind == "init", posted
        self.process.wait(_LONGEST_S)
        return posted

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The function's log lines of a kind."""
        found = []
        for line in (self._folder / "log").read_text().splitlines():
            if line.startswith("{"):
                entry = json.loads(line)
                if entry.get("event") == event:
                    found.append(entry)
        return found

    @property
    def log(self) -> str:
        """All that the function has written."""
        return (self._folder / "log").read_text()

    def __enter__(self) -> RuntimeApi:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        with (self._folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "awslambdaric", "pilotage.route.handler.handler"],
                cwd=self._folder,
                env={
                    "PATH": os.environ["PATH"],
                    "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_address[1]}",
                    "AWS_LAMBDA_FUNCTION_NAME": "test",
                    "LAMBDA_TASK_ROOT": str(self._folder),
                    **self._environ,
                },
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._events.put(None)
        self._server.shutdown()
        self._server.server_close()

    def _handler(api) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                assert self.path == f"{_PREFIX}/invocation/next"
                found = api._events.get()
                if found is None:
                    self.close_connection = True
                    return
                request_id, event, seconds = found
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Lambda-Runtime-Aws-Request-Id", request_id)
                self.send_header(
                    "Lambda-Runtime-Deadline-Ms", str(int((time.time() + seconds) * 1000))
                )
                self.send_header(
                    "Lambda-Runtime-Invoked-Function-Arn",
                    "arn:aws:lambda:eu-west-1:123456789012:function:test",
                )
                self.send_header("Content-Length", str(len(event)))
                self.end_headers()
                self.wfile.write(event)
                self.wfile.flush()

            def do_POST(self) -> None:
                raw = self._body()
                body = json.loads(raw)
                parts = self.path.removeprefix(_PREFIX).split("/")
                if parts[1:] == ["init", "error"]:
                    api._posted.put(Posted("init", "", body, raw))
                else:
                    assert parts[1] == "invocation"
                    api._posted.put(Posted(parts[3], parts[2], body, raw))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()
                self.wfile.flush()

            def _body(self) -> bytes:
                if self.headers.get("transfer-encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers["content-length"]))
                whole = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    whole += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return whole

        return Handler
