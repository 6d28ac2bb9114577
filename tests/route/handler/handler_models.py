"""An OpenAI-like server with a model that says what a test tells it to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Said:
    """What the model says to a request."""

    text: str = "Hello."
    finish_reason: str = "stop"
    status: int = 200
    after_s: float = 0.0
    tokens: tuple[int, int] = (10, 3)


class ModelServer:
    """Runs while it is entered; `say` may be changed at any time.

    Attributes:
        say: What is said to a request's body.
        asked: The bodies that came.
        connections: How many were opened.
    """

    def __init__(self) -> None:
        self.say: Callable[[dict[str, Any]], Said] = lambda _: Said()
        self.asked: list[dict[str, Any]] = []
        self.connections = 0
        self._open: set[Any] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        # A process that is killed resets its connections; nobody needs to read about it.
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def drop_connections(self) -> None:
        """Close all connections, as servers do with idle ones."""
        for connection in list(self._open):
            connection.shutdown(2)

    def __enter__(self) -> ModelServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # An answer is one packet, not two of which the second waits for 40 ms.
            wbufsize = -1
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                server.connections += 1
                server._open.add(self.connection)

            def finish(self) -> None:
                server._open.discard(self.connection)
                super().finish()

            def log_message(self, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                body = json.loads(raw)
                server.asked.append(body)
                said = server.say(body)
                time.sleep(said.after_s)
                if said.status != 200:
                    error = {"error": {"message": "secret detail", "type": "x", "code": "x"}}
                    self._send(said.status, "application/json", json.dumps(error))
                elif body.get("stream"):
                    self._send(200, "text/event-stream", _events(body, said))
                else:
                    self._send(200, "application/json", json.dumps(_whole(body, said)))

            def _send(self, status: int, kind: str, text: str) -> None:
                data = text.encode()
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                self.wfile.flush()

        return Handler


def _usage(said: Said) -> dict[str, int]:
    prompt, completion = said.tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _whole(body: dict[str, Any], said: Said) -> dict[str, Any]:
    message = {"role": "assistant", "content": said.text}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": f"{body['model']}-served",
        "choices": [{"index": 0, "message": message, "finish_reason": said.finish_reason}],
        "usage": _usage(said),
    }


def _events(body: dict[str, Any], said: Said) -> str:
    head = {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": f"{body['model']}-served",
    }
    half = len(said.text) // 2
    events: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": {"content": part}, "finish_reason": None}]}
        for part in (said.text[:half], said.text[half:])
    ]
    end = {"index": 0, "delta": {}, "finish_reason": said.finish_reason}
    events.append({**head, "choices": [end]})
    events.append({**head, "choices": [], "usage": _usage(said)})
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
