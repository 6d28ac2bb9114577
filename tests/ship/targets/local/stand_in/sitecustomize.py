"""In place of `pilotage serve`: a server of a few lines, started in a moment, that does as its spec
says. Python imports this before anything else where the folder is on PYTHONPATH."""

import http.server
import json
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

BODY = {"choices": [{"message": {"content": "Robin."}}], "usage": {"completion_tokens": 2}}


def write(message: str) -> None:
    now = datetime.now(UTC).isoformat()
    sys.stderr.write(json.dumps({"ts": now, "message": message}) + "\n")


def main(spec: dict) -> None:
    write(spec["says"])
    if "exit" in spec:
        os._exit(spec["exit"])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._send(200, Path(spec["metrics"]).read_bytes() if "metrics" in spec else b"")
            else:
                self._answer(200 if spec.get("ready", True) else 503, {})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self._answer(200, BODY)

        def _answer(self, status: int, body: dict) -> None:
            self._send(status, json.dumps(body).encode())

        def _send(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", spec["port"]), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: None if spec.get("deaf") else over.set())
    while not over.is_set():
        time.sleep(0.02)
    write("drained")
    os._exit(0)


if "pilotage.cli.main" in sys.orig_argv and sys.orig_argv[-1].endswith(".json"):
    main(json.loads(Path(sys.orig_argv[-1]).read_text()))
