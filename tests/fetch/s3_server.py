"""A real moto server in a process of its own, and a proxy before it that breaks what it is told."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from botocore.config import Config

KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTING", "AWS_SECRET_ACCESS_KEY": "s3cret-key"}
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


_MOTO = """
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""
"""As `moto_server`, but on a port that nobody else can have taken meanwhile."""


class MotoServer:
    """moto over HTTP; `client` is a genuine boto3 client of it."""

    def __init__(self) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        # Pages of 5 keys and parts of a few bytes stand for thousands of keys and for megabytes.
        env |= {"MOTO_S3_DEFAULT_MAX_KEYS": "5", "S3_UPLOAD_PART_MIN_SIZE": "10"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MOTO],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("moto does not start")
        self.port = int(line)
        self.url = f"http://127.0.0.1:{self.port}"
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="uploader",
            aws_secret_access_key="uploader",
            config=Config(proxies={}),
        )

    def stop(self) -> None:
        self.client.close()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True)
class Request:
    """What the proxy was asked."""

    number: int
    method: str
    target: str
    headers: dict[str, str]

    @property
    def kind(self) -> str:
        """``list``, ``head`` or ``get``."""
        return "list" if "list-type=2" in self.target else self.method.lower()


Answer = tuple[int, bytes, dict[str, str]]
Fault = Callable[[Request], str | Answer | None]


class FaultyS3:
    """A proxy to moto.

    `fault` names what happens to a request (one of `REFUSALS` or of `_Handler`'s), or is the whole
    answer; `extra` are header fields that every HEAD gets; `before` runs before a request goes on.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.upstream = port
        self.connections = 0
        self.fault: Fault = lambda _: None
        self.extra: dict[str, str] = {}
        self.before: Callable[[Request], None] = lambda _: None
        self.seen: list[Request] = []
        self.ended = threading.Event()
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def asked(self, kind: str) -> list[Request]:
        return [request for request in self.seen if request.kind == kind]

    def stop(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what is tested."""


def xml(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode()


REFUSALS = {
    "slow_down": (503, xml("SlowDown"), {}),
    "later": (503, xml("SlowDown"), {"Retry-After": "0.05"}),
    "500": (500, xml("InternalError"), {}),
    "429": (429, b"", {}),
    "timeout_400": (400, xml("RequestTimeout"), {}),
    "denied": (403, xml("AccessDenied"), {}),
    "expired": (400, xml("ExpiredToken"), {}),
    "unknown_key": (403, xml("InvalidAccessKeyId"), {}),
    "bad_secret": (403, xml("SignatureDoesNotMatch"), {}),
    "skewed": (403, xml("RequestTimeTooSkewed"), {}),
    "archived": (403, xml("InvalidObjectState"), {}),
    "kms": (400, xml("KMS.DisabledException"), {}),
    "region": (301, xml("PermanentRedirect"), {"x-amz-bucket-region": "eu-west-3"}),
    "html": (200, PAGE, {"Content-Type": "text/html"}),
    "html_503": (503, PAGE, {"Content-Type": "text/html"}),
    "empty": (200, b"", {}),
    "gone": (404, xml("NoSuchKey"), {}),
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultyS3

    def setup(self) -> None:
        with self.proxy.lock:
            self.proxy.connections += 1
        super().setup()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        proxy = self.proxy
        headers = {name.lower(): value for name, value in self.headers.items()}
        with proxy.lock:
            request = Request(len(proxy.seen), self.command, self.path, headers)
            proxy.seen.append(request)
            proxy.before(request)
            fault = proxy.fault(request)
        if isinstance(fault, tuple) or fault in REFUSALS:
            status, body, more = fault if isinstance(fault, tuple) else REFUSALS[fault]
            return self._send(status, more, body)
        if fault == "ignore_range":
            headers.pop("range", None)
        if fault == "ignore_if_match":
            headers.pop("if-match", None)
        status, fields, body = self._upstream(headers)
        if self.command == "HEAD":
            fields |= proxy.extra
        if fault == "corrupt" and body:
            body = body[:-1] + bytes([body[-1] ^ 1])
        if fault == "other_range" and "content-range" in fields:
            fields["content-range"] = "bytes 1-9/10"
        if fault == "no_head_fields":
            fields.pop("etag", None)
        if fault == "truncate":
            return self._cut(status, fields, body)
        if fault == "reset":
            option = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            return self._cut(status, fields, body)
        if fault == "stall":
            self._cut(status, fields, body, end=False)
            proxy.ended.wait(20)
            return None
        return self._send(status, fields, body)

    do_HEAD = do_GET  # noqa: N815

    def _upstream(self, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.upstream, timeout=30)
        try:
            connection.request(self.command, self.path, headers=headers)
            answer = connection.getresponse()
            hop = {"connection", "transfer-encoding", "server", "date"}
            named = ((name.lower(), value) for name, value in answer.getheaders())
            fields = {name: value for name, value in named if name not in hop}
            return answer.status, fields, answer.read()
        finally:
            connection.close()

    def _send(self, status: int, fields: dict[str, str], body: bytes) -> None:
        self._head(status, fields, body)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, fields: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        length = next((v for n, v in fields.items() if n.lower() == "content-length"), None)
        for name, value in fields.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        head = self.command == "HEAD" and length is not None
        self.send_header("Content-Length", str(length) if head else str(len(body)))
        self.end_headers()

    def _cut(self, status: int, fields: dict[str, str], body: bytes, *, end: bool = True) -> None:
        self.close_connection = True
        if self.command == "HEAD":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nConte")
        else:
            self._head(status, fields, body)
            self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        if end:
            self.connection.close()
