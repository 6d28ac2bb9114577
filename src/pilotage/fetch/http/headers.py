"""HTTP response headers as values: ranges, validators, links, kinds of content.

Nothing of a header is trusted: a value that has not the form its standard gives it counts as
absent. Grammar: RFC 9110 (ranges, ETags, content types) and RFC 8288 (links).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pilotage.errors import SourceError
from pilotage.fetch.http.url import Url

Headers = Mapping[str, str]
"""Header fields; names in any case must be found, as urllib3's HTTPHeaderDict does."""

_RANGE: Final = re.compile(
    r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.IGNORECASE | re.ASCII
)
_ETAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e]{0,256})"')
_LINK: Final = re.compile(r'<([^<>]*)>((?:\s*;\s*[\w!#$&+.^`|~*-]+(?:=(?:"[^"]*"|[^\s";,]*))?)*)')
_PARAMETER: Final = re.compile(r';\s*([\w!#$&+.^`|~*-]+)(?:="([^"]*)"|=([^\s";,]*))?')
_DIGITS: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class ContentRange:
    """A ``Content-Range``.

    Attributes:
        start: First byte.
        stop: The byte after the last. Start and stop are 0 in "unsatisfied" (416) ranges.
        total: The whole file's size in bytes; None where the server does not say.
    """

    start: int
    stop: int
    total: int | None

    @staticmethod
    def parse(value: str | None) -> ContentRange | None:
        """Read the header; None if it is absent or malformed."""
        match = _RANGE.fullmatch((value or "").strip())
        if match is None:
            return None
        total = None if match[3] == "*" else int(match[3])
        if match[1] is None:
            return ContentRange(0, 0, total) if total is not None else None
        start, last = int(match[1]), int(match[2])
        if last < start or (total is not None and last >= total):
            return None
        return ContentRange(start, last + 1, total)


@dataclass(frozen=True, slots=True)
class ETag:
    """An entity tag.

    Attributes:
        value: The opaque part, printable ASCII without quotes; not fit as a file name.
        weak: Whether bytes may differ under the same tag: then it must not pin a range.
    """

    value: str
    weak: bool = False

    @staticmethod
    def parse(value: str | None) -> ETag | None:
        """Read the header; None if it is absent or malformed (longer than 256 is malformed)."""
        match = _ETAG.fullmatch((value or "").strip())
        return ETag(match[2], weak=match[1] is not None) if match is not None else None

    def __str__(self) -> str:
        return f'{"W/" if self.weak else ""}"{self.value}"'


def content_length(headers: Headers) -> int | None:
    """The body's size in bytes; None if it is absent or malformed."""
    value = headers.get("Content-Length", "").strip()
    return int(value) if _DIGITS.fullmatch(value) else None


def content_type(headers: Headers) -> str:
    """The media type in lower case, without parameters; empty if absent."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def is_html(headers: Headers) -> bool:
    """Whether the body is a page for people, as captive portals and proxies send."""
    return content_type(headers) in {"text/html", "application/xhtml+xml"}


def is_encoded(headers: Headers) -> bool:
    """Whether the body is compressed although we always ask for it as it is."""
    return headers.get("Content-Encoding", "").strip().lower() not in {"", "identity"}


def next_page(headers: Headers, page: Url) -> Url | None:
    """The next page of a listing; None at the last.

    Raises:
        SourceError: It lies on another origin: a listing has no business there, and the
            credentials that it would be asked with are not that origin's.
    """
    for match in _LINK.finditer(headers.get("Link", "")[:16384]):
        relations = next(
            (
                quoted or plain
                for name, quoted, plain in _PARAMETER.findall(match[2])
                if name.lower() == "rel"
            ),
            "",
        )
        if "next" not in relations.lower().split():
            continue
        url = page.join(match[1])
        if not url.same_origin(page):
            raise SourceError(
                f"the listing goes on at another address, {url.origin}", where=str(page)
            )
        return url
    return None
