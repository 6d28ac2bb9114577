"""The one HTTP client of all sources: checked addresses, checked redirects, checked answers.

It makes single calls and never retries; `pilotage.fetch.retry` does. Every failure is one of
`TransientError`, `ChangedError`, `NoRangesError`, `StatusError` or a plain `SourceError`, and none
of them holds a query string or a header's value.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import urllib3

from pilotage.errors import SourceError
from pilotage.fetch.http.body import HttpBody
from pilotage.fetch.http.connections import Connections, Timeouts
from pilotage.fetch.http.failures import NETWORK_ERRORS, changed, html_instead, no_ranges, of_status
from pilotage.fetch.http.guard import Guard
from pilotage.fetch.http.headers import (
    ContentRange,
    ETag,
    Headers,
    content_length,
    is_encoded,
    is_html,
    next_page,
)
from pilotage.fetch.http.url import Url
from pilotage.fetch.origin import TransientError

MAX_REDIRECTS: Final = 5
MAX_DOCUMENT: Final = 64 * 1024 * 1024
MAX_PAGES: Final = 1000

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_DOCUMENT_S: Final = 300.0
_DRAINED: Final = 64 * 1024

# What may cross to another origin. A list of what may, as no list of secrets is ever complete.
# If-Range and If-Match are not on it: an ETag means nothing to a server that did not give it.
_HARMLESS: Final = frozenset(
    {"accept", "accept-encoding", "accept-language", "range", "user-agent"}
)


class Follow(Enum):
    """Which redirects are followed; one that is not is returned as the answer."""

    ALL = "all"
    SAME_ORIGIN = "same-origin"
    NONE = "none"


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
    headers: Headers
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


class HttpClient:
    """Makes single HTTP calls. Safe to use from many threads.

    Args:
        guard: Says where connections may go; by default to public addresses with TLS only.
        timeouts: How long to wait.
        connections: Connections kept open to one address: as many as the engine has threads.
        user_agent: Who we say we are.
        tls: Certificates to trust; by default the machine's or ``SSL_CERT_FILE``'s.
        proxies: As `Connections` takes them; by default from the environment.
    """

    def __init__(
        self,
        guard: Guard | None = None,
        *,
        timeouts: Timeouts | None = None,
        connections: int = 32,
        user_agent: str = "pilotage",
        tls: ssl.SSLContext | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> None:
        self._connections = Connections(
            guard or Guard(),
            timeouts=timeouts or Timeouts(),
            size=connections,
            tls=tls,
            proxies=proxies,
        )
        self._defaults = {
            "user-agent": user_agent,
            "accept": "*/*",
            # Ranges of a compressed form are not ranges of the file.
            "accept-encoding": "identity",
        }

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections."""
        self._connections.close()

    def head(
        self,
        url: Url | str,
        headers: Mapping[str, str] | None = None,
        *,
        follow: Follow = Follow.ALL,
    ) -> Head:
        """Ask for the head only.

        Args:
            url: What to ask for.
            headers: To send along; what is not harmless stays with the URL's own origin.
            follow: Which redirects to follow.

        Raises:
            SourceError: See the module; also for every status of 400 and above.
        """
        with self._sent("HEAD", url, headers, follow) as (head, response):
            _drain(response)
            return head

    @contextmanager
    def get(
        self,
        url: Url | str,
        headers: Mapping[str, str] | None = None,
        *,
        follow: Follow = Follow.ALL,
        html: bool = False,
    ) -> Iterator[Answer]:
        """Ask for the whole of something, as it is.

        Args:
            url: What to ask for.
            headers: To send along.
            follow: Which redirects to follow.
            html: Whether a web page is what is wanted.

        Raises:
            SourceError: See the module.
        """
        with self._sent("GET", url, headers, follow) as (head, response):
            _check_data(head, html=html, of="the file")
            unfollowed = head.status in _REDIRECTS and follow is not Follow.ALL
            if head.status not in {200, 203} and not unfollowed:
                raise of_status(head.status, head.headers, head.url)
            length = content_length(head.headers)
            etag = ETag.parse(head.headers.get("ETag"))
            yield Answer(head, HttpBody(response, head.url, length), etag, length)

    @contextmanager
    def open_range(
        self,
        url: Url | str,
        start: int,
        stop: int,
        *,
        headers: Mapping[str, str] | None = None,
        if_range: ETag | None = None,
        if_match: ETag | None = None,
        total: int | None = None,
        html: bool = False,
    ) -> Iterator[Answer]:
        """Ask for the bytes ``[start, stop)``, and check that it is these that come.

        A whole file is taken for a range only where the range is the whole file.

        Args:
            url: What to ask for.
            start: First byte.
            stop: The byte after the last; more than `start`, but for an empty file.
            headers: To send along.
            if_range: The ETag the file must still have; weak ones are compared, but not sent.
            if_match: The same by ``If-Match``, for servers that know only that.
            total: The file's size in bytes, if known.
            html: Whether the file may be a web page.

        Raises:
            ChangedError: ETag or size are not the expected ones.
            NoRangesError: The whole file came where a part was asked for.
            TransientError: It may go well next time, also if another range came.
            SourceError: It will not.
        """
        if not 0 <= start <= stop or (start == stop and (start, stop, total) != (0, 0, 0)):
            raise ValueError(f"no range: [{start}, {stop}) of {total}")
        sent = dict(headers or {})
        if stop > start:  # an empty file has no ranges
            sent["Range"] = f"bytes={start}-{stop - 1}"
            if if_range is not None and not if_range.weak:
                sent["If-Range"] = str(if_range)
        if if_match is not None and not if_match.weak:
            sent["If-Match"] = str(if_match)
        expected = if_range or if_match
        with self._sent("GET", url, sent, Follow.ALL, ranged=True) as (head, response):
            _check_data(head, html=html, of="the file")
            etag = ETag.parse(head.headers.get("ETag"))
            # After a redirect to elsewhere the tag is another server's, as the expected is not.
            same = head.crossed or expected is None or etag is None or etag.value == expected.value
            if head.status in {200, 206} and not same:
                raise changed(head.url)
            if head.status == 206:
                found = _check_range(head, start, stop, total)
            elif head.status == 200:
                found = _check_whole(head, start, stop, total)
            elif head.status == 416:
                unsatisfied = ContentRange.parse(head.headers.get("Content-Range"))
                if unsatisfied is None or unsatisfied.total in {None, total}:
                    raise of_status(head.status, head.headers, head.url)
                raise changed(head.url)
            else:
                raise of_status(head.status, head.headers, head.url)
            yield Answer(head, HttpBody(response, head.url, stop - start), etag, found)

    def get_bytes(
        self,
        url: Url | str,
        headers: Mapping[str, str] | None = None,
        *,
        limit: int = MAX_DOCUMENT,
        html: bool = False,
    ) -> tuple[bytes, Head]:
        """Read a small document into memory.

        Args:
            url: What to ask for.
            headers: To send along.
            limit: The most bytes to take.
            html: Whether a web page is what is wanted.

        Raises:
            SourceError: It is larger than `limit`; or see the module.
        """
        until = time.monotonic() + _DOCUMENT_S
        with self.get(url, headers, html=html) as answer:
            if not 200 <= answer.head.status < 300:
                raise of_status(answer.head.status, answer.head.headers, answer.head.url)
            where = str(answer.head.url)
            data = bytearray()
            buffer = memoryview(bytearray(min(limit + 1, 256 * 1024)))
            while count := answer.body.readinto(buffer):
                data += buffer[:count]
                if len(data) > limit:
                    raise SourceError(
                        f"the document is larger than {limit:,} bytes, which is more than we read",
                        where=where,
                    )
                if time.monotonic() > until:
                    raise TransientError(
                        f"the document did not arrive in {_DOCUMENT_S:.0f} s", where=where
                    )
            return bytes(data), answer.head

    def get_json(
        self,
        url: Url | str,
        headers: Mapping[str, str] | None = None,
        *,
        limit: int = MAX_DOCUMENT,
    ) -> tuple[Any, Head]:
        """Read a JSON document.

        Raises:
            SourceError: It is not JSON, or too large; or see the module.
        """
        data, head = self.get_bytes(
            url, {"Accept": "application/json", **(headers or {})}, limit=limit
        )
        try:
            return json.loads(data), head
        except (ValueError, RecursionError) as error:
            # Not chained: the parser's error holds the whole document.
            kind = "nested too deep" if isinstance(error, RecursionError) else "not JSON"
            raise SourceError(f"the answer is {kind}", where=str(head.url)) from None

    def get_pages(
        self, url: Url | str, headers: Mapping[str, str] | None = None
    ) -> Iterator[tuple[Any, Head]]:
        """Read a JSON listing page by page, along ``Link: <…>; rel="next"``.

        Raises:
            SourceError: The next page lies on another origin, there are more than `MAX_PAGES`;
                or as `get_json` does.
        """
        page: Url | None = _url(url)
        for _ in range(MAX_PAGES):
            if page is None:
                return
            value, head = self.get_json(page, headers)
            yield value, head
            page = next_page(head.headers, page)
        if page is not None:
            raise SourceError(f"the listing has more than {MAX_PAGES} pages", where=str(page))

    @contextmanager
    def _sent(
        self,
        method: str,
        url: Url | str,
        headers: Mapping[str, str] | None,
        follow: Follow,
        *,
        ranged: bool = False,
    ) -> Iterator[tuple[Head, urllib3.BaseHTTPResponse]]:
        """The first answer that is no redirect to follow; closed at the end if it was not read."""
        here = _url(url)
        sent = {**self._defaults, **_checked(headers or {}, here)}
        crossed = False
        for _ in range(MAX_REDIRECTS + 1):
            response = self._connections.request(method, here, sent)
            try:
                target = _target(response, here, follow)
                if target is None:
                    head = Head(response.status, response.headers, here, crossed)
                    if head.status >= 400 and not (ranged and head.status == 416):
                        _drain(response)
                        raise of_status(head.status, head.headers, here)
                    yield head, response
                    return
                _drain(response)
            finally:
                if not response.closed:
                    response.close()
                response.release_conn()
            if here.scheme == "https" and target.scheme != "https":
                raise SourceError(
                    f"a redirect from https to plain http, to {target.host}, is refused",
                    where=str(here),
                )
            if not target.same_origin(here):
                # For good: a chain that comes back here may have been written by the other.
                crossed = True
                sent = {name: value for name, value in sent.items() if name in _HARMLESS}
            here = target
        raise SourceError(f"more than {MAX_REDIRECTS} redirects", where=str(_url(url)))


def _target(response: urllib3.BaseHTTPResponse, here: Url, follow: Follow) -> Url | None:
    """Where a redirect to follow leads; None if the answer is the answer."""
    location = response.headers.get("Location")
    if response.status not in _REDIRECTS or location is None or follow is Follow.NONE:
        return None
    target = here.join(location)
    return target if follow is Follow.ALL or target.same_origin(here) else None


def _drain(response: urllib3.BaseHTTPResponse) -> None:
    """Read what little is left of an answer that nobody wants, so that its connection is kept."""
    left = response.length_remaining  # 0 for HEAD
    if left is not None and left <= _DRAINED:
        with suppress(*NETWORK_ERRORS):
            response.read(_DRAINED, decode_content=False)


def _check_data(head: Head, *, html: bool, of: str) -> None:
    if is_html(head.headers) and not html and head.status < 300:
        raise html_instead(head.url, of=of)
    if is_encoded(head.headers) and head.status < 300:
        raise SourceError("the server compresses although it was asked not to", where=str(head.url))


def _check_range(head: Head, start: int, stop: int, total: int | None) -> int | None:
    """The whole file's size by a 206, all of whose numbers must be the asked ones."""
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


def _check_whole(head: Head, start: int, stop: int, total: int | None) -> int:
    """The whole file's size by a 200, which must be what was asked for."""
    length = content_length(head.headers)
    if total is not None and length not in {None, total}:
        raise changed(head.url)
    if start != 0 or (length if length is not None else total) != stop:
        raise no_ranges(head.url)
    return stop


def _url(url: Url | str) -> Url:
    return url if isinstance(url, Url) else Url.parse(url)


def _checked(headers: Mapping[str, str], url: Url) -> dict[str, str]:
    """The headers, if they can be sent: the library's own complaint would quote a token."""
    for name, value in headers.items():
        if not value.isascii() or not value.isprintable():
            raise SourceError(
                f"the value of {name} holds characters that no header may hold",
                where=str(url),
                hint="Look for a line break or a letter with an accent in the token",
            )
    return {name.lower(): value for name, value in headers.items()}
