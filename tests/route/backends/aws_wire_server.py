"""A stand-in for AWS's runtimes: their wire format over a real socket, with faults.

It frames event streams itself (lengths and CRCs as in the Smithy specification "Amazon Event
Stream"), so that boto3 really reads what AWS would send.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message of an event stream."""
    head = b"".join(
        struct.pack("!B", len(name))
        + name.encode()
        + struct.pack("!BH", 7, len(value.encode()))
        + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    body = prelude + struct.pack("!I", zlib.crc32(prelude)) + head + payload
    return body + struct.pack("!I", zlib.crc32(body))


def event(kind: str, payload: Mapping[str, Any]) -> bytes:
    """An event whose payload is JSON, as Bedrock's are."""
    headers = {
        ":event-type": kind,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return frame(headers, json.dumps(payload).encode())


def part(data: bytes) -> bytes:
    """SageMaker's PayloadPart."""
    headers = {
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }
    return frame(headers, data)


def failure(kind: str, message: str) -> bytes:
    """An error within a stream."""
    headers = {
        ":exception-type": kind,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return frame(headers, json.dumps({"message": message}).encode())


class Wait(threading.Event):
    """Among a reply's pieces: hold it until this is set, or the client has gone."""


@dataclass
class Reply:
    """What is answered to one request.

    Attributes:
        pieces: Of the body; each its own chunk of the transfer coding.
        before: Waited for before the status line.
        whole: Whether the body ends as HTTP says; else the connection is cut.
    """

    pieces: Sequence[bytes | Wait] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    before: Wait | None = None
    whole: bool = True

    @classmethod
    def error(cls, code: str, status: int, message: str = "", **more: Any) -> Reply:
        """As AWS's REST JSON has errors."""
        retry = {"Retry-After": str(more.pop("retry_after"))} if "retry_after" in more else {}
        body = json.dumps({"message": message, **more}).encode()
        return cls([body], status, {"x-amzn-ErrorType": code, **retry})

    @classmethod
    def json(cls, body: Mapping[str, Any]) -> Reply:
        """A whole answer."""
        return cls([json.dumps(body).encode()], headers={"Content-Type": "application/json"})


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    body: dict[str, Any]
    connection: tuple[str, int]


class WireServer:
    """Answers with what it is told, the last again and again.

    Attributes:
        url: Its address.
        asked: Requests so far.
        arrived: Set when a request has come.
        left: Set when a client hung up while it was answered.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.arrived = threading.Event()
        self.left = threading.Event()
        self.replies: list[Reply | Callable[[Asked], Reply]] = []

    def will(self, *replies: Reply | Callable[[Asked], Reply] | Iterable[bytes]) -> None:
        """Answer so, in this order."""
        self.replies = [
            one if isinstance(one, Reply) or callable(one) else Reply(list(one)) for one in replies
        ]

    def _next(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        self.arrived.set()
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return reply if isinstance(reply, Reply) else reply(asked)


@contextmanager
def wire_server(tls: ssl.SSLContext | None = None) -> Iterator[WireServer]:
    """A server on a port of its own."""
    state = WireServer("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            asked = Asked(unquote(self.path), json.loads(data), self.client_address)
            reply = state._next(asked)
            try:
                self._send(reply)
            except OSError:
                state.left.set()
                self.close_connection = True

        def _send(self, reply: Reply) -> None:
            if reply.before is not None:
                self._held(reply.before)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in reply.pieces:
                if isinstance(piece, Wait):
                    self._held(piece)
                elif piece:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            if reply.whole:
                self.wfile.write(b"0\r\n\r\n")
            else:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

        def _held(self, wait: Wait) -> None:
            while not wait.wait(0.01):
                # The client has nothing more to say: what can be read is its end.
                if select.select([self.connection], [], [], 0)[0] and not self.connection.recv(1):
                    raise ConnectionResetError

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hangs up is not this server's failure."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    state.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
