"""A real HTTP server with ranges, in a process of its own, that counts what it sends.

Run as a program it prints its port. Raw sockets and sendfile: it must not be what limits.
``GET /count`` answers the bytes of files that left, less what was still in the send buffer of a
connection that broke.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pilotage.fetch.manifest import FileEntry
from pilotage.fetch.origin import Body, TransientError


class RangeServer:
    """The server, from outside."""

    def __init__(self, folder: Path, *, rate: int = 0, window: int = 0) -> None:
        command = [sys.executable, __file__, str(folder), str(rate), str(window)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def count(self) -> int:
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"GET /count HTTP/1.1\r\n\r\n")
            with connection.makefile("rb") as answer:
                return int(answer.read().split(b"\r\n\r\n")[1])

    def __enter__(self) -> RangeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


class SocketOrigin:
    """The least HTTP client: one connection a part, straight into the caller's buffer."""

    def __init__(self, port: int, *, window: int = 0) -> None:
        self.name = f"http://127.0.0.1:{port}"
        self._port = port
        self._window = window

    @contextmanager
    def read(self, file: FileEntry, start: int, stop: int) -> Iterator[Body]:
        with socket.socket() as connection:
            if self._window:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._window)
            connection.connect(("127.0.0.1", self._port))
            connection.sendall(
                f"GET /{file.path} HTTP/1.1\r\nRange: bytes={start}-{stop - 1}\r\n\r\n".encode()
            )
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = connection.recv(1)
                if not byte:
                    raise TransientError("no answer", where=self.name)
                head += byte
            assert b" 206 " in head
            yield _SocketBody(connection)


class _SocketBody:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def readinto(self, buffer: memoryview) -> int:
        return self._connection.recv_into(buffer)

    def cut(self) -> None:
        self._connection.shutdown(socket.SHUT_RDWR)


class _Meter:
    """Bytes sent, at most `rate` a second over all connections."""

    def __init__(self, rate: int) -> None:
        self.sent = 0
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def pace(self, count: int) -> None:
        with self._lock:
            self.sent += count
            if not self._rate:
                return
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self._rate
            wait = self._free_at - now
        time.sleep(wait)

    def unsent(self, count: int) -> None:
        with self._lock:
            self.sent -= count


def _serve(connection: socket.socket, folder: Path, meter: _Meter, chunk: int) -> None:
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(4096)
            if not data:
                return
            head += data
        path = head.split()[1].decode().lstrip("/")
        if path == "count":
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n%d" % meter.sent)
            return
        found = re.search(rb"bytes=(\d+)-(\d+)", head)
        assert found is not None
        at, stop = int(found[1]), int(found[2]) + 1
        connection.sendall(
            b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\n\r\n" % (stop - at)
        )
        with (folder / path).open("rb") as file:
            try:
                while at < stop:
                    count = os.sendfile(
                        connection.fileno(), file.fileno(), at, min(chunk, stop - at)
                    )
                    at += count
                    meter.pace(count)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)
            except OSError:
                pass
            left = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
            meter.unsent(struct.unpack("i", left)[0])


def _main(folder: Path, rate: int, window: int) -> None:
    meter = _Meter(rate)
    with socket.socket() as listener:
        if window:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, window)
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            connection, _ = listener.accept()
            chunk = 64 << 10 if rate else 1 << 20
            threading.Thread(
                target=_serve, args=(connection, folder, meter, chunk), daemon=True
            ).start()


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
