"""The content of OpenAI's messages as Converse's blocks: texts and images."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pilotage.route.backends.backend import BackendError, Fault

MOST_IMAGES: Final = 20
"""A request (the API reference, ``Message``)."""

_STARTS: Final = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)


def refused(message: str) -> BackendError:
    """The error for a request that this backend cannot take, whoever asks again."""
    return BackendError(Fault.REFUSED, message)


def content_blocks(content: Any, *, image_bytes: int) -> list[dict[str, Any]]:
    """Blocks of a message's content. Blank texts are left out: Bedrock refuses them.

    Args:
        content: A text, a list of parts, or None.
        image_bytes: Largest image.

    Raises:
        BackendError: It holds what Converse does not take.
    """
    return list(_blocks(content, image_bytes))


def text_blocks(content: Any, role: str) -> list[dict[str, Any]]:
    """Blocks of a content that may be text only.

    Raises:
        BackendError: It holds something else.
    """
    if isinstance(content, list) and any(
        isinstance(part, Mapping) and part.get("type") == "image_url" for part in content
    ):
        raise refused(f"Bedrock takes no images from the role {role}")
    return content_blocks(content, image_bytes=0)


def _blocks(content: Any, image_bytes: int) -> Iterator[dict[str, Any]]:
    if content is None:
        return
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise refused("a message's content should be a text or a list of parts")
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in {"text", "refusal"}:
            text = part.get(kind)
            if not isinstance(text, str):
                raise refused("a part of type text should hold a text")
            if text.strip():
                yield {"text": text}
        elif kind == "image_url":
            yield {"image": _image(part.get("image_url"), image_bytes)}
        else:
            named = f"of type {kind}" if isinstance(kind, str) and kind.isidentifier() else "so"
            raise refused(f"Bedrock takes no parts {named[:60]}: text and image_url only")


def _image(given: Any, most: int) -> dict[str, Any]:
    url = given.get("url") if isinstance(given, Mapping) else given
    if not isinstance(url, str):
        raise refused("a part of type image_url should hold a url")
    if url[:5].lower() != "data:":
        raise refused(
            "Bedrock fetches no images from addresses: send them as data:image/png;base64,…"
        )
    head, _, data = url.partition(",")
    if not head.lower().endswith(";base64"):
        raise refused("an image's data: URL should be base64")
    # Before it is decoded: base64 is a third longer than what it stands for.
    if len(data) // 4 * 3 > most + 3:
        raise refused(f"an image is larger than {most} bytes")
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise refused("an image's base64 is damaged") from None
    if len(raw) > most:
        raise refused(f"an image is larger than {most} bytes")
    return {"format": _format(raw), "source": {"bytes": raw}}


def _format(raw: bytes) -> str:
    """By its first bytes: what the URL calls it is often wrong, and Bedrock checks."""
    for start, name in _STARTS:
        if raw.startswith(start):
            return name
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "webp"
    raise refused("an image is none of PNG, JPEG, GIF and WebP")
