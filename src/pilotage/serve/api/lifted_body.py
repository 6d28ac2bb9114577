"""Chat bodies with images in them: long data URLs are lifted out of the JSON while it arrives.

Eight images of 20 MB are 213 MB of base64. Kept as JSON they would fill the memory, and decoding
that JSON would hold up everybody else. So every string that begins ``data:`` and is long becomes
a short name in the JSON, and its image an `Upload`. That needs no JSON parser: in JSON a quotation
mark that no backslash escapes and that ``data:`` follows can only begin a string.
"""

from __future__ import annotations

import binascii
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.requests import Request

from pilotage.images import ImageError
from pilotage.serve.api.body import check_json_headers, decode_object, read_object
from pilotage.serve.api.body_stream import body_pieces
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.errors import ApiError, invalid
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.worker_path import choose_model
from pilotage.serve.images import ImageLoader, Upload

_SCOPE_KEY: Final = "pilotage.lifted"
_MARK: Final = b'"data:'
_LONG: Final = 1 << 15
_HEAD: Final = re.compile(rb"data:[^,\"\\]{0,200};base64,")
_HEAD_BYTES: Final = 256
_PIECE: Final = 1 << 17  # decoded in a third of a millisecond
_BACKSLASH: Final = ord("\\")
_MOST_LOOKED_AT: Final = 1000  # strings; a body of nothing else would cost too much time


@asynccontextmanager
async def chat_body(context: GatewayContext, request: Request) -> AsyncIterator[dict[str, Any]]:
    """The JSON object in the body of a chat request; `lifted_images` has the rest.

    Raises:
        ApiError: As `read_object` does, or an image in it is not taken.
    """
    if not has_eyes(context):
        yield await read_object(request)
        return
    check_json_headers(request)
    lift = ImageLift(context.images, context.limits.max_body_bytes)
    try:
        async for piece in body_pieces(
            request, context.limits.request_timeout_s, context.images.turns
        ):
            for start in range(0, len(piece), _PIECE):
                lift.feed(piece[start : start + _PIECE])
                await lift.settle()
        body = decode_object(lift.finish())
        choose_model(Exchange.of(request.scope), body)
        request.scope[_SCOPE_KEY] = lift.images
        yield body
    finally:
        for upload in lift.images.values():
            upload.close()


def lifted_images(request: Request) -> dict[str, Upload]:
    """The images that were lifted out of a request's body, by the names they left there."""
    found: dict[str, Upload] = request.scope.get(_SCOPE_KEY, {})
    return found


def has_eyes(context: GatewayContext) -> bool:
    """Whether any model that is served takes images."""
    return any(model.vision is not None for model in context.models.all())


def longest_chat_body(context: GatewayContext) -> int:
    """Bytes of the longest chat body: the images as base64 and everything else."""
    limits = context.images.limits
    if not has_eyes(context):
        return context.limits.max_body_bytes
    an_image = 4 * -(-limits.max_bytes // 3) + _HEAD_BYTES
    return context.limits.max_body_bytes + limits.max_count * an_image


class ImageLift:
    """Takes JSON in pieces, and keeps it without its long data URLs.

    Args:
        loader: Has places for images.
        max_bytes: Longest JSON without them.

    Attributes:
        images: The images, by the names that stand for them in the JSON.
    """

    def __init__(self, loader: ImageLoader, max_bytes: int) -> None:
        self.images: dict[str, Upload] = {}
        self._loader = loader
        self._max_bytes = max_bytes
        self._kept = bytearray()
        self._carry = b""
        self._begun: bytearray | None = None  # a string that may become long
        self._base64: _Base64 | None = None  # one that has
        # Unguessable: nobody can name an image that he did not send.
        self._secret = secrets.token_hex(16)
        self._looked_at = 0

    def feed(self, piece: bytes) -> None:
        """Take the next bytes.

        Raises:
            ApiError: Too many bytes, too many images, or one that is not base64.
        """
        data = self._carry + piece
        self._carry = b""
        place = 0
        while place < len(data):
            if self._base64 is None and self._begun is None:
                place = self._outside(data, place)
            else:
                place = self._inside(data, place)
        if len(self._kept) + len(self._begun or b"") > self._max_bytes:
            raise ApiError(
                f"The body is longer than {self._max_bytes} bytes without its images.",
                status=413,
                code="body_too_large",
                headers={"connection": "close"},
            )

    async def settle(self) -> None:
        """Let go of the memory of the image that is arriving, if it has become much."""
        if self._base64 is not None:
            await self._base64.upload.settle()

    def finish(self) -> bytes:
        """The JSON, at its end."""
        self._give_up()
        self._kept += self._carry
        return bytes(self._kept)

    def _outside(self, data: bytes, place: int) -> int:
        found = data.find(_MARK, place) if self._looked_at < _MOST_LOOKED_AT else -1
        if found < 0:
            sure = max(place, len(data) - len(_MARK) + 1)
            self._kept += data[place:sure]
            self._carry = data[sure:]
            return len(data)
        self._looked_at += 1
        self._kept += data[place:found]
        if _is_escaped(self._kept):
            self._kept += _MARK
            return found + len(_MARK)
        self._kept += b'"'
        self._begun = bytearray()
        return found + 1

    def _inside(self, data: bytes, place: int) -> int:
        quote = data.find(b'"', place)
        end = len(data) if quote < 0 else quote
        escape = data.find(b"\\", place, end)
        if escape >= 0:
            if escape + 1 == len(data):
                self._add(data[place:escape])
                self._carry = b"\\"
                return len(data)
            if data[escape + 1 : escape + 2] != b"/":
                self._add(data[place:escape])
                if self._base64 is not None:
                    raise _not_base64()
                self._give_up()
                return escape
            self._add(data[place:escape] + b"/")
            return escape + 2
        self._add(data[place:end])
        if quote >= 0 and (self._begun is not None or self._base64 is not None):
            self._close()
            return quote + 1
        return end

    def _add(self, text: bytes) -> None:
        if self._base64 is not None:
            self._base64.add(text)
            return
        if self._begun is None:
            self._kept += text
            return
        self._begun += text
        if len(self._begun) > _LONG:
            self._lift()

    def _lift(self) -> None:
        begun = self._begun or bytearray()
        head = _HEAD.match(begun)
        if head is None:
            self._give_up()
            return
        most = self._loader.limits.max_count
        if len(self.images) == most:
            raise invalid("messages", f"There are more than {most} images in the request.")
        name = f"pilotage-image:{self._secret}:{len(self.images)}"
        self.images[name] = upload = self._loader.upload()
        self._kept += name.encode()
        self._begun = None
        self._base64 = _Base64(upload)
        self._base64.add(bytes(begun[head.end() :]))

    def _close(self) -> None:
        if self._base64 is not None:
            self._base64.end()
            self._base64 = None
        else:
            self._kept += self._begun or b""
            self._begun = None
        self._kept += b'"'

    def _give_up(self) -> None:
        # The string is text after all; what follows of it is searched as anything else is.
        self._kept += self._begun or b""
        self._begun = None


class _Base64:
    """Decodes base64 in pieces, strictly (RFC 4648, 3.2 and 3.3)."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        self._left = b""
        self._padded = False

    def add(self, text: bytes) -> None:
        text = self._left + text
        whole = len(text) & ~3
        self._left = text[whole:]
        if not whole:
            return
        # Python's decoder, strict as it is, takes "====".
        if self._padded or text[whole - 3 : whole] == b"===":
            raise _not_base64()
        self._padded = text[whole - 1 : whole] == b"="
        try:
            self.upload.add(binascii.a2b_base64(text[:whole], strict_mode=True))
        except binascii.Error:
            raise _not_base64() from None
        except ImageError as error:
            raise ApiError(f"{error}.", status=413, code="image_too_large") from None

    def end(self) -> None:
        if self._left:
            raise _not_base64()


def _is_escaped(before: bytearray) -> bool:
    end = len(before)
    start = end
    while start and before[start - 1] == _BACKSLASH:
        start -= 1
    return (end - start) % 2 == 1


def _not_base64() -> ApiError:
    return ApiError(
        "An image's data: URL is not base64 (RFC 4648: with padding, without line breaks).",
        code="invalid_image",
        headers={"connection": "close"},
    )
