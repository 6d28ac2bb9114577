"""A server that does nothing but stream: the yardstick of the load client's own cost.

``python -m bench.trivial_server PORT CHUNKS INTERVAL`` answers every POST with that many chunks
of an OpenAI chat stream, one each INTERVAL seconds, all streams in step, as an engine's are.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_READY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_EVENT = (
    b'data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1700000000'
    b',"model":"trivial","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,'
    b'"finish_reason":null}]}\n\n'
)
_DONE = b"data: [DONE]\n\n"


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class _Server:
    def __init__(self, chunks: int, interval_s: float) -> None:
        self._chunks = chunks
        self._interval_s = interval_s
        self._streams: dict[asyncio.StreamWriter, int] = {}

    async def serve(self, port: int) -> None:
        server = await asyncio.start_server(self._answer, "127.0.0.1", port, backlog=1024)
        async with server:
            while True:
                await asyncio.sleep(self._interval_s)
                self._step()

    def _step(self) -> None:
        event = _framed(_EVENT)
        for writer, left in list(self._streams.items()):
            if left:
                writer.write(event)
                self._streams[writer] = left - 1
            else:
                del self._streams[writer]
                writer.write(_framed(_DONE) + b"0\r\n\r\n")

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    writer.write(_READY)
                    continue
                length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
                await reader.readexactly(int(length))
                writer.write(_HEAD)
                self._streams[writer] = self._chunks
        except (asyncio.IncompleteReadError, ConnectionError):
            self._streams.pop(writer, None)
            writer.close()


if __name__ == "__main__":
    uvloop.run(_Server(int(sys.argv[2]), float(sys.argv[3])).serve(int(sys.argv[1])))
