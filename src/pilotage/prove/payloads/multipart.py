"""Bodies of ``multipart/form-data`` (RFC 7578)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

from pilotage.prove.payloads.image import Image

# The same for all requests, so that a run has one content type. Any text would do that no content
# has; 128 random bits once drawn.
_BOUNDARY: Final = "pilotage-51ac9e0d7b3f4682a6e0c95d13f7e28b"


def encode_form(fields: Mapping[str, str], images: Sequence[Image]) -> tuple[bytes, str]:
    """A form with text `fields` and the files ``image``, and its content type.

    Field names are ours or a user's flags; quotes and line ends in them are percent-encoded as
    browsers do.
    """
    parts = [
        (f'form-data; name="{_quoted(name)}"', "", value.encode("utf-8", "replace"))
        for name, value in fields.items()
    ]
    parts += [
        (
            f'form-data; name="image"; filename="image-{place}.{image.suffix}"',
            f"Content-Type: {image.media_type}\r\n",
            image.data,
        )
        for place, image in enumerate(images)
    ]
    boundary = _boundary([content for _, _, content in parts])
    pieces: list[bytes] = []
    for disposition, kind, content in parts:
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n{kind}\r\n"
        pieces += [head.encode(), content, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces), f"multipart/form-data; boundary={boundary}"


def _boundary(contents: Sequence[bytes]) -> str:
    if not any(_BOUNDARY.encode() in content for content in contents):
        return _BOUNDARY
    # Someone sends this very file. A text does not contain its own hash.
    return f"pilotage-{blake2b(b''.join(contents), digest_size=16).hexdigest()}"


def _quoted(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
