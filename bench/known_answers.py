"""The answers of the server of known latency, as the bytes that leave it."""

from __future__ import annotations

import msgspec

MODEL = "known-latency"
"""The model that it lists."""


class Pieces:
    """An answer's bytes, made once: the parts that leave at their times.

    Args:
        chunks: Tokens, one event of a stream each.
        together: Whether all events leave in one write.
        chat: Whether it is a chat completion, or a text completion.

    Attributes:
        whole: The answer that is not a stream.
        stream: Parts of the stream, one a moment.
        stream_with_usage: Likewise, with a last chunk of usage.
    """

    def __init__(self, chunks: int, *, together: bool, chat: bool) -> None:
        texts = [" word"] * chunks
        usage = {
            "prompt_tokens": 8,
            "completion_tokens": chunks,
            "total_tokens": 8 + chunks,
        }
        name = "chat.completion" if chat else "text_completion"
        head = {"id": "known-0", "created": 1_700_000_000, "model": MODEL}
        said: dict[str, object] = (
            {"message": {"role": "assistant", "content": "".join(texts)}}
            if chat
            else {"text": "".join(texts)}
        )
        body = msgspec.json.encode(
            {
                **head,
                "object": name,
                "choices": [{"index": 0, **said, "finish_reason": "length"}],
                "usage": usage,
            }
        )
        self.whole = (_response(b"application/json", body),)
        chunk_name = "chat.completion.chunk" if chat else name
        events = []
        for place, text in enumerate(texts, start=1):
            part: dict[str, object] = {"delta": {"content": text}} if chat else {"text": text}
            end = "length" if place == chunks else None
            choices = [{"index": 0, **part, "finish_reason": end}]
            events.append(_event({**head, "object": chunk_name, "choices": choices}))
        counted = _event({**head, "object": chunk_name, "choices": [], "usage": usage})
        self.stream = _stream(events, b"", together=together)
        self.stream_with_usage = _stream(events, counted, together=together)


def json_answer(value: object) -> bytes:
    """A whole answer of JSON."""
    return _response(b"application/json", msgspec.json.encode(value))


def _response(kind: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    return head % (kind, len(body)) + body


def _event(value: object) -> bytes:
    return b"data: %s\n\n" % msgspec.json.encode(value)


def _stream(events: list[bytes], usage: bytes, *, together: bool) -> tuple[bytes, ...]:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    end = b"".join(_framed(part) for part in (usage, b"data: [DONE]\n\n") if part) + b"0\r\n\r\n"
    parts = [_framed(event) for event in events]
    parts[0] = head + parts[0]
    parts[-1] += end
    return (b"".join(parts),) if together else tuple(parts)


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)
