"""An image's kind and size from its first bytes, with nothing decoded and nothing allocated.

The bytes say what a file is, not its name nor the type it was declared with. Libraries make room
for the whole image as soon as they have read its header (libwebp's animation decoder does when
it is opened), so a few bytes that claim 50,000 x 50,000 pixels must not get that far.

Formats: PNG (W3C Portable Network Graphics, 11.2.2 IHDR), GIF89a (18 to 20), JPEG (ITU-T T.81,
B.2.2), WebP (RFC 9649, 2.5 to 2.7; RFC 6386, 9.1).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final, Literal

from pilotage.images.limits import ImageError

Kind = Literal["JPEG", "PNG", "WebP", "GIF"]

_SNIFFED: Final = 4096
_MAX_SEGMENTS: Final = 4096
_MAX_SCANS: Final = 64
_BLOCK: Final = 1 << 18
_CUT_OFF: Final = "the image is cut off within its header"
_TAKEN: Final = "JPEG, PNG, WebP and GIF are taken"

# Start of frame; C4, C8 and CC among them are tables and extensions.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_BARE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD8)})

# What else people send: where its mark is, the mark, what it is called.
_OTHERS: Final = (
    (0, b"BM", "a BMP image"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (0, b"\0\0\1\0", "an icon"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\0\x0cjP", "a JPEG 2000 image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cJXL", "a JPEG XL image"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftypheic", "a HEIC image"),
    (4, b"ftypmif1", "a HEIF image"),
    (4, b"ftyp", "an MP4 or HEIF file"),
    (8, b"WAVE", "a WAV sound"),
    (8, b"AVI ", "an AVI video"),
    (0, b"ID3", "an MP3 sound"),
    (0, b"OggS", "an Ogg file"),
    (0, b"fLaC", "a FLAC sound"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\3\4", "a ZIP archive"),
    (0, b"\x1f\x8b", "gzip-compressed"),
)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image's header says of it.

    Attributes:
        kind: Which of the formats it is.
        width: Pixels, before the orientation that its metadata may ask for.
        height: Pixels.
        progressive: Whether it is a JPEG of many scans.
    """

    kind: Kind
    width: int
    height: int
    progressive: bool = False


def read_header(file: BinaryIO) -> ImageHeader:
    """The header of the image that `file` holds from its beginning; seeks in it.

    Raises:
        ImageError: It is empty, cut off within its header, or no image of a kind that is taken.
    """
    file.seek(0)
    start = file.read(_SNIFFED)
    if not start:
        raise ImageError("the image is empty: 0 bytes")
    for mark, read in _READERS:
        if start.startswith(mark) and (mark != b"RIFF" or start[8:12] == b"WEBP"):
            try:
                header = read(file, start)
            except (struct.error, IndexError):
                raise ImageError(_CUT_OFF) from None
            if header.width < 1 or header.height < 1:
                raise ImageError(
                    f"the {header.kind} header says {header.width} x {header.height} pixels"
                )
            return header
    if any(mark.startswith(start) for mark, _ in _READERS):
        raise ImageError(_CUT_OFF)
    raise ImageError(f"this is {_called(start)}, not an image that is taken", hint=_TAKEN)


def check_scans(file: BinaryIO, header: ImageHeader) -> None:
    """Refuse JPEG files of absurdly many scans, each of which costs a pass over all pixels.

    A progressive file has about ten. The two bytes looked for stand for nothing else in coded
    data (ITU-T T.81, B.1.1.5); those of a thumbnail count too, which the limit has room for.

    Raises:
        ImageError: It has more than 64.
    """
    if not header.progressive:
        return
    file.seek(0)
    scans, last = 0, b""
    while block := file.read(_BLOCK):
        scans += (last + block).count(b"\xff\xda")
        last = block[-1:] if block[-1:] == b"\xff" else b""
    if scans > _MAX_SCANS:
        raise ImageError(f"the JPEG image has {scans:,} scans; at most {_MAX_SCANS} are decoded")


def _png(file: BinaryIO, start: bytes) -> ImageHeader:
    del file
    if start[12:16] != b"IHDR":
        raise ImageError("the PNG image does not begin with its header")
    width, height = struct.unpack_from(">II", start, 16)
    return ImageHeader("PNG", width, height)


def _webp(file: BinaryIO, start: bytes) -> ImageHeader:
    del file
    kind = start[12:16]
    if kind == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", start, 24)
        return ImageHeader("WebP", (low_w | high_w << 16) + 1, (low_h | high_h << 16) + 1)
    if kind == b"VP8L":
        mark, bits = struct.unpack_from("<BI", start, 20)
        if mark == 0x2F:
            return ImageHeader("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 ":
        mark, width, height = struct.unpack_from("<3sHH", start, 23)
        if mark == b"\x9d\x01\x2a":
            return ImageHeader("WebP", width & 0x3FFF, height & 0x3FFF)
    raise ImageError("the WebP image does not begin with its header")


def _gif(file: BinaryIO, start: bytes) -> ImageHeader:
    # The first frame may reach beyond the screen that the header names.
    width, height, flags = struct.unpack_from("<HHB", start, 6)
    file.seek(13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0))
    while (block := file.read(1)) == b"!":
        file.read(1)
        while size := file.read(1)[0]:
            file.seek(size, 1)
    if block != b",":
        raise ImageError("the GIF image has no frame")
    left, top, frame_width, frame_height = struct.unpack("<HHHH", file.read(8))
    return ImageHeader("GIF", max(width, left + frame_width), max(height, top + frame_height))


def _jpeg(file: BinaryIO, start: bytes) -> ImageHeader:
    del start
    file.seek(2)
    for _ in range(_MAX_SEGMENTS):
        byte = file.read(1)
        if byte != b"\xff":
            raise ImageError("the JPEG image is damaged before its frame header")
        while byte == b"\xff":
            byte = file.read(1)
        marker = byte[0]
        if marker in _BARE_MARKERS:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if marker in _FRAMES:
            _, height, width = struct.unpack(">BHH", file.read(5))
            return ImageHeader("JPEG", width, height, marker in _PROGRESSIVE)
        if length < 2 or marker in {0xD9, 0xDA}:
            break
        file.seek(length - 2, 1)
    raise ImageError("the JPEG image has no frame header")


_READERS: Final[tuple[tuple[bytes, Callable[[BinaryIO, bytes], ImageHeader]], ...]] = (
    (b"\xff\xd8\xff", _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"RIFF", _webp),
)


def _called(start: bytes) -> str:
    for place, mark, name in _OTHERS:
        if start[place : place + len(mark)] == mark:
            return name
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    lower = text[:2048].lower()
    if b"<svg" in lower:
        return "an SVG drawing"
    if lower.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if _is_text(start[:256]):
        return "text"
    return f"data of an unknown kind (it begins {start[:8].hex(' ')})"


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # else a character that was cut in two
            return False
        text = start[: error.start].decode()
    return all(character.isprintable() or character in "\t\r\n" for character in text)
