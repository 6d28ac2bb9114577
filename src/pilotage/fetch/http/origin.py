"""Byte ranges of a manifest's files over HTTP, for the transfer engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

from pilotage.fetch.http.answer import Answer
from pilotage.fetch.http.client import HttpClient
from pilotage.fetch.http.failures import StatusError, changed
from pilotage.fetch.http.headers import ETag
from pilotage.fetch.http.url import Url
from pilotage.fetch.manifest import FileEntry
from pilotage.fetch.origin import Body, TransientError

_PAGES: Final = (".html", ".htm", ".xhtml")
_EXPIRED: Final = frozenset({401, 403, 404, 410})
"""What a signed URL answers when its time is over."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a file is to be had.

    Attributes:
        url: May redirect to a signed URL elsewhere.
        headers: To send to the URL's own origin, credentials among them.
        etag: What the URL's own origin said when the file was resolved, to be pinned to; None if
            it said nothing, or the revision is immutable.
        size: Bytes, if known; else the manifest's.
    """

    url: Url
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    etag: ETag | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file's bytes were last found, after redirects.

    Attributes:
        url: Often signed, for some minutes.
        etag: Of the server there.
        crossed: Whether that is another origin than the address's, where its headers stay behind.
    """

    url: Url
    etag: ETag | None
    crossed: bool


class HttpOrigin:
    """Files at HTTP addresses; implements `pilotage.fetch.origin.Origin`.

    The place a redirect leads to is remembered for a file, so that a hundred parts cost the
    redirecting server (which counts them) one call and not a hundred. When the place no longer
    answers, since its signature has expired say, the redirect is followed again.

    Args:
        client: Makes the calls.
        url_of: A file's address. Called often, from many threads.
        name: Who answers; what a circuit breaker counts by.
        html: Whether a file may be a web page; by default if it is named so.
    """

    def __init__(
        self,
        client: HttpClient,
        url_of: Callable[[FileEntry], Address],
        *,
        name: str,
        html: Callable[[FileEntry], bool] = lambda file: file.path.lower().endswith(_PAGES),
    ) -> None:
        self._client = client
        self._url_of = url_of
        self._name = name
        self._html = html
        self._lock = threading.Lock()
        self._places: dict[str, _Place] = {}
        # Outlives the place: the same file must be found again, wherever it is found.
        self._pins: dict[str, tuple[str, ETag]] = {}

    @property
    def name(self) -> str:
        """Who answers, such as ``https://huggingface.co``."""
        return self._name

    @contextmanager
    def read(self, file: FileEntry, start: int, stop: int) -> Iterator[Body]:
        """The bytes ``[start, stop)`` of `file`; see `pilotage.fetch.origin.Origin.read`.

        Raises:
            TransientError: It may go well next time.
            ChangedError: The file has changed since it was resolved.
            NoRangesError: Ranges are ignored here.
            SourceError: It will not go well.
        """
        with ExitStack() as stack:
            yield self._open(stack, file, start, stop).body

    def _open(self, stack: ExitStack, file: FileEntry, start: int, stop: int) -> Answer:
        address = self._url_of(file)
        with self._lock:
            place = self._places.get(file.path)
        if place is not None:
            try:
                return stack.enter_context(self._at(place, address, file, start, stop))
            except StatusError as error:
                self._forget(file, place)
                if error.status not in _EXPIRED:
                    raise
            except TransientError as error:
                if error.retry_after_s is None:  # it may be gone for good, and others be there
                    self._forget(file, place)
                raise
        begun = _Place(address.url, address.etag, crossed=False)
        answer = stack.enter_context(self._at(begun, address, file, start, stop))
        self._learn(file, answer)
        return answer

    def _at(
        self, place: _Place, address: Address, file: FileEntry, start: int, stop: int
    ) -> AbstractContextManager[Answer]:
        return self._client.open_range(
            place.url,
            start,
            stop,
            headers={} if place.crossed else address.headers,
            if_range=place.etag,
            total=file.size if file.size is not None else address.size,
            html=self._html(file),
        )

    def _learn(self, file: FileEntry, answer: Answer) -> None:
        """Remember where the file was found, if it is the one that was found before."""
        url, etag = answer.head.url, answer.etag
        with self._lock:
            pinned = self._pins.get(file.path)
            was_at, was = pinned if pinned is not None else (url.origin, etag)
            differs = was is not None and etag is not None and etag.value != was.value
            # Another server may well have another tag for the same bytes. That is taken only
            # where the bytes are checked by a digest at the end.
            if differs and (url.origin == was_at or file.sha256 is None):
                raise changed(url)
            if etag is not None:
                self._pins[file.path] = (url.origin, etag)
            self._places[file.path] = _Place(url, etag, answer.head.crossed)

    def _forget(self, file: FileEntry, place: _Place) -> None:
        with self._lock:
            if self._places.get(file.path) == place:
                del self._places[file.path]
