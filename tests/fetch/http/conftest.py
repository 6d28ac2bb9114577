"""Real servers on loopback that answer whatever a test wants, byte by byte."""

from __future__ import annotations

import contextlib
import email.parser
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path

import pytest

from pilotage.fetch.http import Allowance, Guard, HttpClient, Timeouts

LOOPBACK = Allowance.parse("127.0.0.0/8, ::1")


@dataclass
class Exchange:
    """One request, and the ways to answer it. `closed` ends the connection afterwards."""

    sock: socket.socket
    method: str
    target: str
    headers: Message
    ended: threading.Event
    closed: bool = False

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reply(
        self,
        status: int = 200,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        *,
        length: int | None = None,
    ) -> None:
        """A whole answer; `length` is a lie about its body, which ends the connection."""
        fields = {"Content-Length": str(len(body) if length is None else length), **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.send(f"HTTP/1.1 {status} Word\r\n{lines}\r\n".encode())
        if self.method != "HEAD":
            self.send(body)
        self.closed = length is not None

    def file(self, data: bytes, headers: dict[str, str] | None = None) -> None:
        """As a well-behaved server gives a file: ranges, and If-Range against the given ETag."""
        asked = self.headers.get("Range")
        tag = self.headers.get("If-Range")
        if asked is None or (tag is not None and tag != (headers or {}).get("ETag")):
            return self.reply(200, headers, data)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1]
        content_range = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        return self.reply(206, {"Content-Range": content_range, **(headers or {})}, part)

    def reset(self) -> None:
        """RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.closed = True

    def stall(self) -> None:
        """Say nothing more until the test is over."""
        self.ended.wait(30)
        self.closed = True


@dataclass
class Server:
    """Where a server of a test listens, and what it was asked."""

    url: str
    port: int
    seen: list[Exchange] = field(default_factory=list)
    connections: int = 0

    def targets(self) -> list[str]:
        return [exchange.target for exchange in self.seen]


Handler = Callable[[Exchange], None]
Serve = Callable[..., Server]


class _Listener:
    def __init__(
        self, handler: Handler, address: str, tls: ssl.SSLContext | None, host: str, greeting: bytes
    ):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listening = socket.create_server((address, 0), family=family)
        port = self._listening.getsockname()[1]
        self.server = Server(f"{'https' if tls else 'http'}://{host}:{port}", port)
        self._handler, self._tls, self._greeting = handler, tls, greeting
        self._ended = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            if self._ended.is_set():
                sock.close()
                return
            self.server.connections += 1
            self._open.add(sock)
            thread = threading.Thread(target=self._talk, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _talk(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain:
            if self._tls is None:
                self._answer(plain)
            else:
                with self._tls.wrap_socket(plain, server_side=True) as sock:
                    self._open.add(sock)
                    self._answer(sock)

    def _answer(self, sock: socket.socket) -> None:
        sock.sendall(self._greeting)
        with sock.makefile("rb") as reader:
            closed = bool(self._greeting)
            while not closed and (line := reader.readline()):
                method, target, _ = line.decode().split(" ", 2)
                head = b""
                while (more := reader.readline()) not in {b"\r\n", b""}:
                    head += more
                fields = email.parser.BytesParser().parsebytes(head)
                exchange = Exchange(sock, method, target, fields, self._ended)
                self.server.seen.append(exchange)
                self._handler(exchange)
                closed = exchange.closed

    def close(self) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):  # wake the accepting thread
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._threads[0].join(10)
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(handler)` starts a server: HTTP/1.1, threads, keep-alive; or one that only greets."""
    listeners: list[_Listener] = []

    def start(
        handler: Handler,
        *,
        address: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        host: str | None = None,
        greeting: bytes = b"",
    ) -> Server:
        name = host or (f"[{address}]" if ":" in address else address)
        listeners.append(_Listener(handler, address, tls, name, greeting))
        return listeners[-1].server

    yield start
    for listener in listeners:
        listener.close()


@pytest.fixture
def client() -> Iterator[HttpClient]:
    """A client that may talk to loopback, with no proxy."""
    with HttpClient(Guard(LOOPBACK), proxies={}) as made:
        yield made


@pytest.fixture
def hasty() -> Iterator[HttpClient]:
    """The same with time-outs so short that a test can wait for them."""
    timeouts = Timeouts(idle_s=0.4, head_s=1.0)
    with HttpClient(Guard(LOOPBACK), timeouts=timeouts, proxies={}) as made:
        yield made


@dataclass(frozen=True)
class Authority:
    """A throwaway certificate authority and a server's context for `models.test`."""

    ca_file: Path
    server: ssl.SSLContext

    @property
    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("certificates are made with openssl")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(
        *["req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA"],
        *["-addext", "keyUsage=critical,keyCertSign"],
    )
    openssl("req", *new, "-keyout", "host.key", "-out", "host.csr", "-subj", "/CN=models.test")
    (folder / "ext").write_text("subjectAltName=DNS:models.test\n")
    openssl(
        *["x509", "-req", "-in", "host.csr", "-CA", "ca.pem", "-CAkey", "ca.key"],
        *["-CAcreateserial", "-out", "host.pem", "-extfile", "ext"],
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "host.pem", folder / "host.key")
    return Authority(folder / "ca.pem", context)
