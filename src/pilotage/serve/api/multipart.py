"""``multipart/form-data`` (RFC 7578) as it arrives: texts in memory, images on disk, bounded."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from pilotage.images import ImageError
from pilotage.serve.api.body_stream import body_pieces
from pilotage.serve.api.errors import ApiError, invalid
from pilotage.serve.api.refusals import unknown_parameter
from pilotage.serve.images import ImageLoader, Upload

IMAGE: Final = "image"
"""The field whose parts are files."""

_MAX_PARTS: Final = 512


@dataclass(slots=True)
class Form:
    """What a form held, in its order. `close` it.

    Attributes:
        texts: Names and values of its text fields.
        images: Its files.
    """

    texts: list[tuple[str, str]] = field(default_factory=list)
    images: list[Upload] = field(default_factory=list)

    def close(self) -> None:
        """Forget the files."""
        for upload in self.images:
            upload.close()


@dataclass(frozen=True, slots=True)
class FormRules:
    """What a form may hold.

    Attributes:
        texts: Names of the text fields.
        max_text_bytes: Bytes of all of them together.
        has_eyes: Whether there is a model that takes images.
        longest_s: Seconds until all has arrived.
    """

    texts: Collection[str]
    max_text_bytes: int
    has_eyes: bool
    longest_s: float


async def read_form(request: Request, rules: FormRules, images: ImageLoader) -> Form:
    """The form in a request's body; refused at the first part that does not fit.

    Raises:
        ApiError: 400 for a form that is none or does not fit, 413, 415 or 408.
        ClientGone: The client hung up.
    """
    reader = _FormReader(_boundary(request), rules, images)
    try:
        async for piece in body_pieces(request, rules.longest_s, images.turns):
            reader.write(piece)
            for upload in reader.form.images[-1:]:
                await upload.settle()
        reader.finish()
    except BaseException as error:
        reader.form.close()
        if isinstance(error, ApiError):
            # What is left of the body is not read, so nothing can follow on this connection.
            error.headers.setdefault("connection", "close")
        raise
    return reader.form


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        shown = kind.decode("latin-1")[:100]
        raise ApiError(
            f"The body's Content-Type is {shown!r}; send multipart/form-data.",
            status=415,
            code="unsupported_media_type",
        )
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise ApiError(
            f"The body's Content-Encoding is {encoding[:100]!r}; send it uncompressed.",
            status=415,
            code="unsupported_media_type",
        )
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        raise _broken(
            "its Content-Type names no boundary of 1 to 70 characters; let your HTTP library "
            "write that header"
        )
    return boundary


class _FormReader:
    """Takes the body piece by piece; python-multipart finds the parts in it."""

    def __init__(self, boundary: bytes, rules: FormRules, images: ImageLoader) -> None:
        self.form = Form()
        self._rules = rules
        self._loader = images
        self._parts = 0
        self._text_bytes = 0
        self._ended = False
        self._headers: dict[bytes, bytes] = {}
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._name = ""
        self._text = bytearray()
        self._upload: Upload | None = None
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_header_name,
                "on_header_value": self._add_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._open_part,
                "on_part_data": self._add_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def write(self, piece: bytes) -> None:
        if self._ended:
            return  # what follows the last boundary means nothing (RFC 2046, 5.1.1)
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise _broken(f"it is malformed: {error}") from None

    def finish(self) -> None:
        if not self._parts and not self._ended:
            raise _broken("it holds no part with the boundary that its Content-Type names")
        if not self._ended:
            raise _broken("it ends before its closing boundary")

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise _broken(f"it has more than {_MAX_PARTS} parts")
        self._headers = {}

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _open_part(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition"))
        if disposition != b"form-data" or b"name" not in options:
            raise _broken("a part has no Content-Disposition that names its field")
        self._name = _utf8(options[b"name"], "a field's name")
        self._text = bytearray()
        self._upload = None
        if self._name == IMAGE:
            self._upload = self._open_image()
        elif self._name not in self._rules.texts:
            raise unknown_parameter(self._name, {*self._rules.texts, IMAGE})
        elif b"filename" in options:
            raise invalid(
                self._name,
                f"'{self._name}' is a text field, and a file was sent in it. Files go into "
                f"'{IMAGE}'.",
            )
        if self._headers.get(b"content-transfer-encoding", b"binary").lower() not in {
            b"binary",
            b"8bit",
            b"7bit",
        }:
            raise invalid(self._name, f"'{self._name}' is sent encoded; send it as it is.")

    def _open_image(self) -> Upload:
        if not self._rules.has_eyes:
            raise invalid(IMAGE, "No model that is served here takes images: send text only.")
        most = self._loader.limits.max_count
        if len(self.form.images) == most:
            raise invalid(IMAGE, f"There are more than {most} images in the request.")
        upload = self._loader.upload()
        self.form.images.append(upload)
        return upload

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._upload is None:
            self._text_bytes += end - start
            if self._text_bytes > self._rules.max_text_bytes:
                raise ApiError(
                    f"The text fields are longer than {self._rules.max_text_bytes} bytes.",
                    status=413,
                    code="body_too_large",
                )
            self._text += data[start:end]
            return
        try:
            self._upload.add(memoryview(data)[start:end])
        except ImageError as error:
            number = len(self.form.images)
            raise ApiError(
                f"Image {number}: {error}.", status=413, code="image_too_large", param=IMAGE
            ) from None

    def _end_part(self) -> None:
        if self._upload is None:
            text = _utf8(bytes(self._text), f"'{self._name}'", param=self._name)
            self.form.texts.append((self._name, text))

    def _end(self) -> None:
        self._ended = True


def _utf8(data: bytes, what: str, param: str | None = None) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise invalid(param, f"{what} is not UTF-8 text (byte {error.start}).") from None


def _broken(why: str) -> ApiError:
    return ApiError(f"The body is not a usable form: {why}.", code="invalid_form")
