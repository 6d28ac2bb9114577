"""An OpenAI-compatible endpoint over real HTTP that says what it is told to say."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMPLETION = {
    "choices": [{"message": {"role": "assistant", "content": "Wren, robin, owl."}}],
    "usage": {"completion_tokens": 8},
}


class ModelServer(ThreadingHTTPServer):
    daemon_threads = True
    replies: list[tuple[int, Any]]
    asked: list[dict[str, Any]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def next_reply(self) -> tuple[int, Any]:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(
            {"path": self.path, "headers": dict(self.headers), "body": json.loads(body)}
        )
        status, reply = self.server.next_reply()
        content = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        del args


@contextmanager
def running_model() -> Iterator[ModelServer]:
    server = ModelServer(("127.0.0.1", 0), _Handler)
    server.replies, server.asked = [(200, COMPLETION)], []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
