"""The smallest requests that tell something of a server."""

from __future__ import annotations

import io
import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from pilotage.errors import UsageError
from pilotage.prove.payload import Payload
from pilotage.prove.target.endpoint import Endpoint

_BOUNDARY: Final = "pilotage-4b1d7c7f0f6a4f0a"
_PNG_END: Final = 12  # bytes of the IEND chunk that every PNG ends with


@dataclass(frozen=True, slots=True)
class Dialect:
    """Which of the fields that servers do not agree on this one takes.

    Attributes:
        ignore_eos: ``ignore_eos`` and ``min_tokens``, which fix an answer's length. To take them
            is not to obey them; the run counts what came.
        include_usage: ``stream_options.include_usage``.
        max_tokens: Name of the field that bounds an answer's length.
    """

    ignore_eos: bool = True
    include_usage: bool = True
    max_tokens: str = "max_tokens"


def small_request(
    endpoint: Endpoint,
    text: str,
    *,
    stream: bool,
    dialect: Dialect,
    max_tokens: int = 2,
    size: int = 0,
) -> Payload:
    """A request for an answer of ``max_tokens`` tokens to ``text``.

    Args:
        endpoint: Whom it is for; its model must be known, but for ``infer``.
        text: Prompt.
        stream: Whether the answer is to be streamed.
        dialect: Which fields to use.
        max_tokens: Tokens to ask for.
        size: Bytes that the body is to have, made up by padding that means nothing: white space
            between JSON tokens, or a private chunk of the PNG image. 0 for none.

    Raises:
        UsageError: The body is longer than ``size`` without any padding.
    """
    if endpoint.api == "infer":
        body = _multipart(endpoint, text, stream=stream, max_tokens=max_tokens, padding=0)
        if size:
            padding = _padding(size, len(body), least=12)
            body = _multipart(endpoint, text, stream=stream, max_tokens=max_tokens, padding=padding)
        kind = f"multipart/form-data; boundary={_BOUNDARY}"
        return Payload(body, kind, asked_tokens=max_tokens, stream=stream, images=1)
    body = json.dumps(_fields(endpoint, text, stream, dialect, max_tokens)).encode("ascii")
    if size:
        body = b"{" + b" " * _padding(size, len(body), least=0) + body[1:]
    return Payload(body, asked_tokens=max_tokens, stream=stream)


def _fields(
    endpoint: Endpoint, text: str, stream: bool, dialect: Dialect, max_tokens: int
) -> dict[str, Any]:
    fields: dict[str, Any] = {"model": endpoint.model, dialect.max_tokens: max_tokens}
    if endpoint.api == "chat":
        fields["messages"] = [{"role": "user", "content": text}]
    else:
        fields["prompt"] = text
    if dialect.ignore_eos:
        fields |= {"ignore_eos": True, "min_tokens": max_tokens}
    if stream:
        fields["stream"] = True
        if dialect.include_usage:
            fields["stream_options"] = {"include_usage": True}
    return fields


def _multipart(
    endpoint: Endpoint, text: str, *, stream: bool, max_tokens: int, padding: int
) -> bytes:
    fields = {"text_prompt": text, "max_new_tokens": str(max_tokens)}
    if endpoint.model:
        fields["model"] = endpoint.model
    if stream:
        fields["stream"] = "true"
    part = f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name="
    texts = [f'{part}"{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    image = f'{part}"image"; filename="image.png"\r\nContent-Type: image/png\r\n\r\n'
    head = "".join([*texts, image]).encode()
    return b"".join([head, _png(padding), f"\r\n--{_BOUNDARY}--\r\n".encode()])


def _png(padding: int) -> bytes:
    """A small image; ``padding`` bytes of it are a chunk that decoders pass over.

    The chunk's name says, by the case of its letters (PNG specification, 5.4), that it is
    ancillary and private.
    """
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 40, 40)).save(file, "PNG")
    image = file.getvalue()
    if not padding:
        return image
    chunk = b"pdIg" + bytes(padding - 12)
    padded = struct.pack(">I", padding - 12) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return image[:-_PNG_END] + padded + image[-_PNG_END:]


def _padding(size: int, bare: int, *, least: int) -> int:
    padding = size - bare
    if padding < least:
        raise UsageError(f"the smallest request has {bare + least} bytes, more than {size}")
    return padding
