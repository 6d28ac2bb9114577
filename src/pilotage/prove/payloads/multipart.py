"""Bodies of ``multipart/form-data`` (RFC 7578)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from pilotage.prove.payloads.image import Image


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
    # From the content, not from chance: equal payloads have equal bytes. A text cannot contain
    # the hash of itself, but for luck that nobody has.
    digest = blake2b(digest_size=16)
    for _, _, content in parts:
        digest.update(content)
    boundary = f"pilotage-{digest.hexdigest()}"
    pieces: list[bytes] = []
    for disposition, kind, content in parts:
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n{kind}\r\n"
        pieces += [head.encode(), content, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces), f"multipart/form-data; boundary={boundary}"


def _quoted(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
