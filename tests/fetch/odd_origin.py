"""A real HTTP server for downloads, with ranges, counters and a fault switchboard.

A route turns a `Request` into an `Answer`; ranges, faults and bookkeeping are the server's.
The behaviours of a `Fault` (its ``do``):

===========  ===================================================================================
status       answers with ``value``: (status, headers) or (status, headers, body)
silent       never answers
close        closes the connection without a word
garbage      answers with bytes that are not HTTP
html         200 and a web page, as a captive proxy does
redirect     302 to ``value``, an address, or a function of the request that returns one
headers      the headers in ``value`` replace the true ones; None removes one
no-ranges    ignores Range: 200 and the whole body
wrong-range  206 for a range that was not asked for
corrupt      flips the byte at ``at`` (the middle, without); the size stays right
truncate     promises the whole body, sends the first half and closes
reset        sends the first half and resets the connection
stall        sends the first half and then nothing more
drip         a byte every ``value`` seconds
change       sends the first half, calls ``value()``, and closes
===========  ===================================================================================
"""

from __future__ import annotations

import hashlib
import random
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_PERIOD = (1 << 20) + 7  # a prime: bytes that land at another offset are other bytes
_CREDENTIALS = {"authorization", "cookie", "proxy-authorization", "x-api-key"}
PAGE = b"<!DOCTYPE html><html><title>Sign in to the guest network</title><form></form></html>"


@lru_cache(maxsize=4)
def _pattern(seed: int) -> bytes:
    return random.Random(seed).randbytes(_PERIOD) * 2


@dataclass(frozen=True)
class Blob:
    """Bytes: literal ones, or `size` that are made as they are read and the same every time."""

    size: int
    literal: bytes | None = None
    seed: int = 0

    @staticmethod
    def of(data: bytes | Blob) -> Blob:
        return data if isinstance(data, Blob) else Blob(len(data), data)

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        stop = self.size if stop is None else stop
        if self.literal is not None:
            yield memoryview(self.literal)[start:stop]
            return
        pattern = memoryview(_pattern(self.seed))
        while start < stop:
            inside = start % _PERIOD
            count = min(stop - start, _PERIOD)
            yield pattern[inside : inside + count]
            start += count

    def bytes(self) -> bytes:
        return b"".join(self.pieces())

    @cached_property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

    @cached_property
    def git_sha1(self) -> str:
        digest = hashlib.sha1(b"blob %d\0" % self.size)
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # decoded
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case


@dataclass
class Answer:
    """What a route says. `kind` is what faults and counters know it by."""

    kind: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Blob = field(default_factory=lambda: Blob(0, b""))
    ranges: bool = False


@dataclass
class Fault:
    """One misbehaviour: see the table at the top.

    `on` and `path` are patterns of the answer's kind and the request's path. The first `skip`
    matching requests are spared, the `times` after them are not. With `at`, only requests for
    that byte match. `status` is of the answer that it would have been.
    """

    do: str
    on: str = "*"
    path: str = "*"
    times: int = 1_000_000
    skip: int = 0
    at: int | None = None
    value: Any = None

    def takes(self, request: Request, answer: Answer, start: int, stop: int) -> bool:
        if not (fnmatchcase(answer.kind, self.on) and fnmatchcase(request.path, self.path)):
            return False
        if self.at is not None and not (start <= self.at < stop and request.method == "GET"):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return self.times >= 0


class OddOrigin:
    """Serves `route` on a free port of 127.0.0.1 until closed; use it as a context manager.

    Attributes:
        faults: The switchboard; the first that takes a request decides.
        seen: Every request, with the kind of its answer.
        requests: Requests by kind.
        sent: Body bytes that left, by kind.
    """

    def __init__(
        self, route: Callable[[Request], Answer], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, Request]] = []
        self.requests: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.closing = threading.Event()
        self._route = route
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}
        )
        self._thread.start()

    def __enter__(self) -> OddOrigin:
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()  # also waits for the threads of open connections

    def fault(self, do: str, **rest: Any) -> Fault:
        """Switch a fault on."""
        fault = Fault(do, **rest)
        self.faults.append(fault)
        return fault

    def secrets_seen(self) -> list[str]:
        """The credentials that clients have sent here."""
        return [
            value
            for _, request in list(self.seen)
            for name, value in request.headers.items()
            if name in _CREDENTIALS or "token" in name
        ]

    def _answer(self, request: Request) -> tuple[Answer, int, int, Fault | None]:
        answer = self._route(request)
        with self._lock:
            self.seen.append((answer.kind, request))
            self.requests[answer.kind] += 1
            start, stop = _range(request, answer)
            fault = next((f for f in self.faults if f.takes(request, answer, start, stop)), None)
        if fault is not None and fault.do == "headers":
            answer.headers |= fault.value
            start, stop = _range(request, answer)  # a false ETag is compared like a true one
        if fault is not None and fault.do == "no-ranges":
            start, stop = 0, answer.body.size
        return answer, start, stop, fault

    def _count(self, kind: str, count: int) -> None:
        with self._lock:
            self.sent[kind] += count


def after(seconds: float) -> str:
    """A ``Retry-After`` date so many seconds from now."""
    return formatdate(time.time() + seconds, usegmt=True)


def _range(request: Request, answer: Answer) -> tuple[int, int]:
    """The bytes asked for; all of them when there is no range, or ``If-Range`` has moved on."""
    size = answer.body.size
    asked = request.headers.get("range", "")
    if not (answer.ranges and answer.status == 200 and asked.startswith("bytes=")):
        return 0, size
    if not _is_current(request.headers, answer):
        return 0, size
    first, _, last = asked.removeprefix("bytes=").partition("-")
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1 if last else size)


def _is_current(headers: Mapping[str, str], answer: Answer) -> bool:
    """Whether ``If-Range`` is absent or names the answer's ETag."""
    return headers.get("if-range", answer.headers.get("ETag")) == answer.headers.get("ETag")


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave are what faults are for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    origin: OddOrigin
    timeout = 0.05  # of a silent kept-alive connection, so that closing the server is quick
    disable_nagle_algorithm = True

    def log_message(self, *args: Any) -> None:
        """Not a word."""

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.settimeout(5)
            self.request.do_handshake()
        super().setup()

    def handle(self) -> None:
        # Idle connections are polled, so that they neither end early nor outlive the server.
        self.close_connection = False
        while not self.close_connection and not self.origin.closing.is_set():
            try:
                waiting = self.connection.recv(1, socket.MSG_PEEK) if not self._tls else b"?"
            except TimeoutError:
                continue
            if not waiting:
                return
            self.connection.settimeout(20)
            self.handle_one_request()
            if not self._tls:
                self.connection.settimeout(self.timeout)
            else:
                self.close_connection = True  # a TLS socket cannot be peeked at

    @property
    def _tls(self) -> bool:
        return isinstance(self.connection, ssl.SSLSocket)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, unquote(parts.path), query, headers)
        answer, start, stop, fault = self.origin._answer(request)
        if fault is not None:
            if instead := self._instead(fault, request, answer):
                self._send(instead, 0, instead.body.size, None)
                return
            if self.close_connection:
                return
        self._send(answer, start, stop, fault)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _instead(self, fault: Fault, request: Request, answer: Answer) -> Answer | None:
        """The answer that a fault gives in the true one's place."""
        kind = answer.kind
        match fault.do:
            case "status":
                status, headers, *rest = fault.value
                body = Blob.of(rest[0] if rest else b'{"error":"no"}')
                return Answer(kind, status, dict(headers), body)
            case "html":
                return Answer(kind, 200, {"Content-Type": "text/html"}, Blob.of(PAGE))
            case "redirect":
                target = fault.value(request) if callable(fault.value) else fault.value
                return Answer(kind, 302, {"Location": target})
            case "silent":
                self.origin.closing.wait()
                self.close_connection = True
            case "close":
                self.close_connection = True
            case "garbage":
                self.wfile.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
                self.close_connection = True
        return None

    def _send(self, answer: Answer, start: int, stop: int, fault: Fault | None) -> None:
        do = fault.do if fault is not None else ""
        size = answer.body.size
        headers = {"Content-Type": "application/octet-stream", **answer.headers}
        status = answer.status
        if answer.ranges and status == 200:
            headers["Accept-Ranges"] = "bytes"
            if do != "no-ranges" and "Range" in self.headers and _is_current(self.headers, answer):
                status = 206
                shift = 1 if do == "wrong-range" else 0
                headers["Content-Range"] = f"bytes {start + shift}-{stop - 1 + shift}/{size}"
                if start >= size:
                    status, start, stop = 416, 0, 0
                    headers["Content-Range"] = f"bytes */{size}"
        headers["Content-Length"] = str(stop - start)
        if self._tls:
            headers["Connection"] = "close"
        if fault is not None and do == "headers":
            headers.update(fault.value)
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if do == "drip":
            self._drip(answer, start, stop, float(fault.value if fault else 0))
            return
        cut = do in {"truncate", "reset", "stall", "change"}
        end = (start + stop) // 2 if cut else stop
        flip = None
        if fault is not None and do == "corrupt":
            flip = (start + stop) // 2 if fault.at is None else fault.at
        self._body(answer, start, end, flip)
        if cut:
            self.wfile.flush()
            self._break(do, fault)

    def _body(self, answer: Answer, start: int, stop: int, flip: int | None) -> None:
        for piece in answer.body.pieces(start, stop):
            data: bytes | memoryview = piece
            if flip is not None and start <= flip < start + len(piece):
                altered = bytearray(piece)
                altered[flip - start] ^= 0x01
                data = bytes(altered)
            self.wfile.write(data)
            self.origin._count(answer.kind, len(piece))
            start += len(piece)

    def _drip(self, answer: Answer, start: int, stop: int, pause: float) -> None:
        for at in range(start, stop):
            self._body(answer, at, at + 1, None)
            self.wfile.flush()
            if self.origin.closing.wait(pause):
                break
        self.close_connection = True

    def _break(self, do: str, fault: Fault | None) -> None:
        if do == "stall":
            self.origin.closing.wait()
        if do == "change" and fault is not None:
            fault.value()
        if do == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()
        self.close_connection = True


def _handler(origin: OddOrigin) -> type[_Handler]:
    return type("Handler", (_Handler,), {"origin": origin})
