"""A backend that answers at once: what is measured in front of it is the gateway alone.

``python -m bench.gateway_backend PORT`` answers chat completions in OpenAI's form, whole, or as
``CHUNKS`` events where the body asks for a stream; and GET /health, /v1/models.
"""

from __future__ import annotations

import asyncio
import sys

import httptools
import uvloop

CHUNKS = 16

_USAGE = b'"usage":{"prompt_tokens":21,"completion_tokens":16,"total_tokens":37}'
_WHOLE = (
    b'{"id":"chatcmpl-0123456789","object":"chat.completion","created":1700000000,"model":"fast",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"' + b" word" * CHUNKS + b'"},'
    b'"logprobs":null,"finish_reason":"stop"}],' + _USAGE + b"}"
)
_MODELS = b'{"object":"list","data":[{"id":"fast","object":"model","created":1,"owned_by":"me"}]}'


def _event(delta: bytes, finish: bytes = b"null") -> bytes:
    return (
        b'data: {"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1700000000,'
        b'"model":"fast","choices":[{"index":0,"delta":' + delta + b',"logprobs":null,'
        b'"finish_reason":' + finish + b"}]}\n\n"
    )


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    + _chunked(_event(b'{"role":"assistant","content":""}'))
    + b"".join(_chunked(_event(b'{"content":" word"}')) for _ in range(CHUNKS))
    + _chunked(_event(b"{}", b'"stop"'))
    + _chunked(
        b'data: {"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1700000000,'
        b'"model":"fast","choices":[],' + _USAGE + b"}\n\n"
    )
    + _chunked(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)


def _plain(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


_ANSWER, _LIST = _plain(_WHOLE), _plain(_MODELS)


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._url = b""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        body = b"".join(self._body)
        self._body = []
        if not body:
            self._transport.write(_LIST)  # type: ignore[attr-defined]
        elif b'"stream":true' in body or b'"stream": true' in body:
            self._transport.write(_STREAM)  # type: ignore[attr-defined]
        else:
            self._transport.write(_ANSWER)  # type: ignore[attr-defined]


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
