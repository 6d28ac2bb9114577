"""A small OpenAI-compatible server for tests: says what a test wants, remembers who asked."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROMPT_TOKENS, CACHED_TOKENS = 20, 8


@dataclass
class StandIn:
    """What it does next, and what it was asked.

    Attributes:
        says: Words of every answer.
        status: Of its answers; the body of any but 200 is an error object.
        pause_s: Before each word of a stream.
        stops_after: Words after which a stream breaks off.
        tells_usage: Whether answers say what they used.
        streams: Whether it knows streams; if not, what asks for one gets a whole answer.
        bodies: Of the requests.
        keys: Their Authorization headers.
        hung_up: Streams whose reader left before the end.
    """

    url: str = ""
    says: list[str] = field(default_factory=lambda: ["Paris", " it", " is."])
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pause_s: float = 0.0
    stops_after: int | None = None
    tool_call: bool = False
    tells_usage: bool = True
    streams: bool = True
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    hung_up: int = 0

    def reset(self) -> None:
        """As after the start."""
        new = StandIn(url=self.url)
        for name in vars(new):
            setattr(self, name, getattr(new, name))

    @property
    def usage(self) -> dict[str, Any]:
        return {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": len(self.says),
            "total_tokens": PROMPT_TOKENS + len(self.says),
            "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS},
        }


@contextlib.contextmanager
def standing_in(model: str) -> Iterator[StandIn]:
    """A server that runs until the context is left; `model` is what it calls itself."""
    state = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.bodies.append(body)
            state.keys.append(self.headers.get("authorization"))
            if state.status != 200:
                self.whole({"error": {"message": "no, not this", "code": "stand_in"}})
            elif body.get("stream") and state.streams:
                self.stream(body)
            else:
                message: dict[str, Any] = {"role": "assistant", "content": "".join(state.says)}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                answer = {**head("chat.completion"), "choices": [choice]}
                self.whole({**answer, "usage": state.usage} if state.tells_usage else answer)

        def whole(self, answer: dict[str, Any]) -> None:
            content = json.dumps(answer).encode()
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def stream(self, body: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            try:
                self.events(body)
            except OSError:
                state.hung_up += 1
                self.close_connection = True

        def events(self, body: dict[str, Any]) -> None:
            self.event(delta({"role": "assistant", "content": ""}))
            for index, word in enumerate(state.says):
                if index == state.stops_after:
                    self.close_connection = True
                    return
                time.sleep(state.pause_s)
                self.event(delta({"content": word}))
            if state.tool_call:
                self.event(delta({"tool_calls": [TOOL_CALL]}))
            self.event(delta({}, "tool_calls" if state.tool_call else "stop"))
            if state.tells_usage and (body.get("stream_options") or {}).get("include_usage"):
                self.event({**head("chat.completion.chunk"), "choices": [], "usage": state.usage})
            self.chunk(b"data: [DONE]\n\n")
            self.wfile.write(b"0\r\n\r\n")

        def event(self, data: dict[str, Any]) -> None:
            self.chunk(b"data: " + json.dumps(data).encode() + b"\n\n")

        def chunk(self, data: bytes) -> None:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def head(kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-7", "object": kind, "created": 1_700_000_000, "model": model}

    def delta(said: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": said, "finish_reason": finish_reason}
        return {**head("chat.completion.chunk"), "choices": [choice]}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


TOOL_CALL = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "look_up", "arguments": '{"city":"Paris"}'},
}
