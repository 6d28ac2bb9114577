"""A load client that costs little: requests are ready-made bytes, answers are only counted.

``python -m bench.gateway_load URL CONNECTIONS SECONDS RATE STREAM MODEL KEY`` prints one line of
JSON: requests, failures, seconds, the CPU seconds it used, and latencies in seconds (p50, p99).
RATE 0 is a closed loop: every connection sends its next request when its last is answered.
Otherwise requests are due at even distances and are timed from when they were due.
"""

from __future__ import annotations

import asyncio
import collections
import json
import sys
import time
from urllib.parse import urlsplit

import httptools
import numpy as np
import uvloop


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._due = 0.0
        self._status = 0
        self._bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)

    def send(self, due: float) -> None:
        self._due = due
        self._bytes = 0
        self._transport.write(self._load.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self._bytes += len(data)

    def on_message_complete(self) -> None:
        good = self._parser.get_status_code() == 200 and self._bytes > 100
        self._parser = httptools.HttpResponseParser(self)
        self._load.answered(self, self._due, good=good)

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self._load.lost(self)


class _Load:
    def __init__(self, request: bytes, seconds: float, rate: float) -> None:
        self.request = request
        self._seconds = seconds
        self._rate = rate
        self._latencies: list[float] = []
        self.failed = 0
        self._idle: collections.deque[_Connection] = collections.deque()
        self._waiting: collections.deque[float] = collections.deque()
        self._over = False
        self._flying = 0

    async def run(self, host: str, port: int, connections: int) -> dict[str, float]:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, one = await loop.create_connection(lambda: _Connection(self), host, port)
            self._idle.append(one)
        began, cpu = time.perf_counter(), time.process_time()
        if self._rate:
            await self._paced(began)
        else:
            while self._idle:
                self._send(self._idle.popleft(), time.perf_counter())
            await asyncio.sleep(self._seconds)
        self._over = True
        took = time.perf_counter() - began
        used = time.process_time() - cpu
        count = len(self._latencies)
        deadline = time.perf_counter() + 10
        while self._flying and time.perf_counter() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        times = np.array(self._latencies or [np.nan])
        return {
            "requests": count,
            "failed": self.failed + self._flying,
            "seconds": took,
            "cpu_s": used,
            "p50_s": float(np.quantile(times, 0.5)),
            "p99_s": float(np.quantile(times, 0.99)),
        }

    async def _paced(self, began: float) -> None:
        sent, total = 0, int(self._rate * self._seconds)
        while sent < total:
            now = time.perf_counter()
            due = min(total, int((now - began) * self._rate) + 1)
            for number in range(sent, due):
                at = began + number / self._rate
                if self._idle:
                    self._send(self._idle.popleft(), at)
                else:
                    self._waiting.append(at)
            sent = due
            await asyncio.sleep(max(0.0, began + sent / self._rate - time.perf_counter()))

    def _send(self, connection: _Connection, due: float) -> None:
        self._flying += 1
        connection.send(due)

    def answered(self, connection: _Connection, due: float, *, good: bool) -> None:
        now = time.perf_counter()
        self._flying -= 1
        if not good:
            self.failed += 1
        elif not self._over:
            self._latencies.append(now - due)
        if self._over:
            return
        if not self._rate:
            self._send(connection, now)
        elif self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def lost(self, connection: _Connection) -> None:
        if not self._over:
            self.failed += 1


def main() -> None:
    """Send, and print what came of it."""
    url, connections, seconds, rate, stream, model, key = sys.argv[1:8]
    parts = urlsplit(url)
    body = json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": "Say some words about gateways. " * 4}],
            "max_tokens": 16,
            **(
                {"stream": True, "stream_options": {"include_usage": True}} if stream == "1" else {}
            ),
        },
        separators=(",", ":"),
    ).encode()
    head = (
        f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    load = _Load(head.encode() + body, float(seconds), float(rate))
    found = uvloop.run(load.run(parts.hostname or "", parts.port or 80, int(connections)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
