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
from contextlib import contextmanager
from typing import Any, Final

from pilotage.errors import SourceError
from pilotage.fetch.http.answer import Answer, Head, check_data, check_range, check_whole
from pilotage.fetch.http.body import HttpBody
from pilotage.fetch.http.connections import Connections, Timeouts
from pilotage.fetch.http.failures import changed, of_status
from pilotage.fetch.http.guard import Guard
from pilotage.fetch.http.headers import (
    ContentRange,
    ETag,
    content_length,
)
from pilotage.fetch.http.redirects import REDIRECTS, Follow, Sender
from pilotage.fetch.http.url import Url
from pilotage.fetch.origin import TransientError

MAX_DOCUMENT: Final = 64 * 1024 * 1024

_DOCUMENT_S: Final = 300.0


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
        # Ranges of a compressed form are not ranges of the file.
        defaults = {"user-agent": user_agent, "accept": "*/*", "accept-encoding": "identity"}
        self._sender = Sender(self._connections, defaults)

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
        with self._sender.send("HEAD", _url(url), headers, follow) as (head, _):
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
        with self._sender.send("GET", _url(url), headers, follow) as (head, response):
            check_data(head, html=html, of="the file")
            unfollowed = head.status in REDIRECTS and follow is not Follow.ALL
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
        with self._sender.send("GET", _url(url), sent, Follow.ALL, ranged=True) as (head, response):
            check_data(head, html=html, of="the file")
            etag = ETag.parse(head.headers.get("ETag"))
            # After a redirect to elsewhere the tag is another server's, as the expected is not.
            same = head.crossed or expected is None or etag is None or etag.value == expected.value
            if head.status in {200, 206} and not same:
                raise changed(head.url)
            if head.status == 206:
                found = check_range(head, start, stop, total)
            elif head.status == 200:
                found = check_whole(head, start, stop, total)
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


def _url(url: Url | str) -> Url:
    return url if isinstance(url, Url) else Url.parse(url)
