"""Byte ranges of S3 objects, for the transfer engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import urllib3

from pilotage.errors import SourceError
from pilotage.fetch.http import ContentRange, ETag, Url
from pilotage.fetch.http.body import HttpBody
from pilotage.fetch.http.failures import changed, html_instead, no_ranges
from pilotage.fetch.manifest import FileEntry
from pilotage.fetch.origin import Body, TransientError
from pilotage.fetch.sources.s3_api import S3Api
from pilotage.fetch.sources.s3_errors import DeniedError, MissingError
from pilotage.fetch.sources.s3_object import S3Object

_HTML: Final = ("text/html", "application/xhtml+xml")
_PAGES: Final = (".html", ".htm", ".xhtml")


class S3Origin:
    """Objects of one bucket; implements `pilotage.fetch.origin.Origin`.

    Every range is asked for with ``If-Match`` and, where the bucket keeps versions, with the
    version: a file that is overwritten meanwhile is then read on as it was.

    Args:
        api: Makes the calls.
        objects: Of each file's path, the object that was resolved.
        pinned: Whether the versions were named by the user. Otherwise credentials that may read
            objects but no versions (``s3:GetObjectVersion``) do with the ETag.
    """

    def __init__(self, api: S3Api, objects: Mapping[str, S3Object], *, pinned: bool) -> None:
        self._api = api
        self._objects = dict(objects)
        self._pinned = pinned
        self._versioned = True

    @property
    def name(self) -> str:
        """The endpoint, such as ``https://s3.amazonaws.com``."""
        return self._api.name

    @contextmanager
    def read(self, file: FileEntry, start: int, stop: int) -> Iterator[Body]:
        """The bytes ``[start, stop)`` of `file`; see `pilotage.fetch.origin.Origin.read`.

        Raises:
            TransientError: It may go well next time.
            ChangedError: The object has changed since it was resolved.
            NoRangesError: Ranges are ignored here.
            SourceError: It will not go well.
        """
        found = self._objects[file.path]
        call = self._api.call(found.key, "s3:GetObject")
        answer = self._answer(found, start, stop)
        body = answer["Body"]
        with body as raw:  # closed at the end, unless its connection is back in the pool by then
            _check(answer, found, start, stop, url=call.url)
            yield S3Body(raw, call.url, stop - start)

    def _answer(self, found: S3Object, start: int, stop: int) -> dict[str, Any]:
        try:
            return self._api.open(found, start, stop, versioned=self._versioned)
        except DeniedError:
            if self._pinned or not self._versioned or found.version is None:
                raise
        except MissingError as error:
            error.message = "the object is no longer there"
            error.hint = "Fetch again"
            raise
        answer = self._api.open(found, start, stop, versioned=False)
        self._versioned = False
        return answer


class S3Body(HttpBody):
    """An answer's body that another thread can cut."""

    def __init__(self, raw: urllib3.BaseHTTPResponse, url: Url, length: int) -> None:
        super().__init__(raw, url, length)
        self._raw = raw

    def cut(self) -> None:
        """Have a `readinto` that blocks in another thread end, soon."""
        self._raw.shutdown()


def _check(answer: Mapping[str, Any], found: S3Object, start: int, stop: int, *, url: Url) -> None:
    """Refuse an answer that is not exactly the range of exactly the object."""
    meta = answer["ResponseMetadata"]
    kind = str(answer.get("ContentType", "")).partition(";")[0].strip().lower()
    etag = ETag.parse(answer.get("ETag"))
    if etag is None and kind in _HTML and not found.key.lower().endswith(_PAGES):
        raise html_instead(url, of="the object")
    if etag is None:
        raise TransientError("the answer's head is cut short: it has no ETag", where=str(url))
    if str(etag) != found.etag:
        raise changed(url)
    if meta["HTTPStatusCode"] == 200:
        if (start, stop) != (0, found.size):
            raise no_ranges(url)
        if answer.get("ContentLength", found.size) != found.size:
            raise changed(url)
        return
    sent = ContentRange.parse(answer.get("ContentRange"))
    if meta["HTTPStatusCode"] != 206 or sent is None:
        raise SourceError("the answer does not say which bytes it holds", where=str(url))
    if sent.total is not None and sent.total != found.size:
        raise changed(url)
    if (sent.start, sent.stop) != (start, stop):
        raise SourceError(
            f"bytes {sent.start}-{sent.stop} came where {start}-{stop} were asked for",
            where=str(url),
        )
