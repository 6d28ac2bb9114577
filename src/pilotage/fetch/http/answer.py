"""Answers, and whether they are what was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilotage.errors import SourceError
from pilotage.fetch.http.body import HttpBody
from pilotage.fetch.http.failures import changed, html_instead, no_ranges
from pilotage.fetch.http.headers import (
    ContentRange,
    ETag,
    Headers,
    content_length,
    is_encoded,
    is_html,
)
from pilotage.fetch.http.url import Url
from pilotage.fetch.origin import TransientError


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer.

    Attributes:
        status: The HTTP status code.
        headers: Names are found in any case.
        url: What answered, after the redirects that were followed.
        crossed: Whether a redirect led to another origin.
    """

    status: int
    headers: Headers = field(repr=False)  # a Location may be signed
    url: Url
    crossed: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body is still to be read.

    Attributes:
        head: Its head.
        body: Its bytes.
        etag: Its validated ETag; None if it has none.
        total: The size of the whole file in bytes; None if the server does not say.
    """

    head: Head
    body: HttpBody
    etag: ETag | None
    total: int | None


def check_data(head: Head, *, html: bool, of: str) -> None:
    """Refuse a page where data should be, and bytes that are not the file's own.

    Args:
        head: Of the answer.
        html: Whether a web page is what is wanted.
        of: What should have come, for the message.

    Raises:
        SourceError: It is one of these.
    """
    if is_html(head.headers) and not html and head.status < 300:
        raise html_instead(head.url, of=of)
    if is_encoded(head.headers) and head.status < 300:
        raise SourceError("the server compresses although it was asked not to", where=str(head.url))


def check_range(head: Head, start: int, stop: int, total: int | None) -> int | None:
    """The whole file's size by a 206, all of whose numbers must be the asked ones.

    Raises:
        ChangedError: The file's size is another.
        TransientError: It is another part; other nodes of the service may do better.
    """
    found = ContentRange.parse(head.headers.get("Content-Range"))
    if found is None:
        raise TransientError("the server sends a part and does not say which", where=str(head.url))
    if total is not None and found.total not in {None, total}:
        raise changed(head.url)
    length = content_length(head.headers)
    if (found.start, found.stop) != (start, stop) or length not in {None, stop - start}:
        raise TransientError(
            f"asked for bytes {start:,} to {stop:,}, the server sends {found.start:,} to"
            f" {found.stop:,}",
            where=str(head.url),
        )
    return found.total if found.total is not None else total


def check_whole(head: Head, start: int, stop: int, total: int | None) -> int:
    """The whole file's size by a 200, which must be what was asked for.

    Raises:
        ChangedError: The file's size is another.
        NoRangesError: A part was asked for.
    """
    length = content_length(head.headers)
    if total is not None and length not in {None, total}:
        raise changed(head.url)
    if start != 0 or (length if length is not None else total) != stop:
        raise no_ranges(head.url)
    return stop
