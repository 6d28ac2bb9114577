"""``https://host/path/file``: one file, or the files that a manifest there lists.

- ``https://host/path/model.gguf#sha256=…``: one file, verified.
- ``https://host/path/manifest.json`` (or ``*.manifest.json``): the files of
  ``{"files": [{"path": …, "size": …, "sha256": …}]}``, which lie beside it. A ``#sha256=…`` is
  the manifest's own, and so vouches for all of them.
- ``https://host/path/model.gguf`` alone: trust on first use, which is said aloud. The size and
  the ETag are pinned while it is fetched, and the digest is kept in the cache.

The query of a URL may be a signature: it is sent, and is in no message, file or key. What stands
for it in the URI is a short hash.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar
from urllib.parse import quote, unquote

from pilotage.errors import IntegrityError, SourceError
from pilotage.fetch.http import Address, ETag, HttpClient, HttpOrigin, StatusError, Url
from pilotage.fetch.http.url import shown
from pilotage.fetch.manifest import FileEntry, Manifest, checked_path, checked_sha256
from pilotage.fetch.origin import ChangedError, NoRangesError, Origin
from pilotage.fetch.pickles import check_not_pickled
from pilotage.fetch.progress import ProgressListener
from pilotage.fetch.remote_code import check_configs
from pilotage.fetch.retry import Retry
from pilotage.fetch.selection import Selection
from pilotage.fetch.sources import fragment
from pilotage.fetch.sources.network import Network

T = TypeVar("T")

_MANIFEST: Final = re.compile(r"(?:.+\.)?manifest\.json", re.IGNORECASE)
_MAX_MANIFEST: Final = 16 << 20
_MAX_SIZE: Final = 1 << 53
_PAGES: Final = (".html", ".htm", ".xhtml")
_PAGE_BEGINS: Final = re.compile(rb"[\s\xef\xbb\xbf]*<(?:!doctype html|html)", re.IGNORECASE)
_ETAG: Final = "etag "

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HttpsSource:
    """A file, or a manifest's files, on a web server.

    Attributes:
        url: Of the file or of the manifest.
        sha256: Its digest; None for trust on first use.
        selection: Which of a manifest's files.
        query_hash: Stands for the URL's query in `uri`; empty if it has none.
        network: Bounds of calls and transfers.
    """

    url: Url
    sha256: str | None = None
    selection: Selection = field(default_factory=Selection)
    query_hash: str = ""
    network: Network = field(default_factory=Network, compare=False, repr=False)

    @staticmethod
    def parse(
        uri: str,
        *,
        revision: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        network: Network | None = None,
    ) -> HttpsSource:
        """Read the URI.

        Raises:
            SourceError: It is malformed, names no file, or a revision is given.
            UsageError: The digest or a pattern is malformed.
        """
        bare, values = fragment.split(uri)
        where = shown(bare)
        if revision is not None:
            raise SourceError(
                f"a web server has no revisions, but revision {revision!r} is asked for",
                where=where,
                hint="Leave the revision out; #sha256=… names the bytes",
            )
        url = Url.parse(bare)
        try:
            checked_path(_name(url).replace("/", "\\"))  # an escaped slash is no part of a name
        except SourceError as error:
            error.where = where
            error.hint = "The URL's last part is the file's name"
            raise
        digests = values.pop("sha256", [None])
        hashes = values.pop("query", [""])
        selection = fragment.selection(values, include, exclude)
        fragment.refuse_unknown(values, where=where)
        if len(digests) > 1 or len(hashes) > 1:
            raise SourceError("one sha256 names the bytes, not several", where=where)
        query_hash = hashlib.sha256(url.query.encode()).hexdigest()[:16] if url.query else hashes[0]
        if (selection.include or selection.exclude) and not _MANIFEST.fullmatch(_name(url)):
            raise SourceError(
                "patterns choose among files, and this is one file",
                where=where,
                hint="Leave them out, or give the URL of a manifest.json",
            )
        return HttpsSource(
            url, checked_sha256(digests[0]), selection, query_hash[:64], network or Network()
        )

    @property
    def uri(self) -> str:
        """The URL without its query, and what names the bytes; see the module."""
        pairs = [("sha256", self.sha256)] if self.sha256 is not None else []
        # Where the bytes are named, it does not matter how they were asked for.
        pairs += [("query", self.query_hash)] if self.query_hash and not pairs else []
        chosen = fragment.joined([*pairs, *fragment.of_selection(self.selection)])
        return f"{self.url.origin}{self.url.path}{chosen}"

    @property
    def in_place(self) -> Path | None:
        """None: the files must be fetched."""
        return None

    def resolve(self) -> Manifest:
        """Read the manifest, or ask how large the file is and which ETag it has.

        Raises:
            SourceError: It is not there, is a web page, or the manifest is malformed.
            IntegrityError: The manifest is not the one that the digest names.
        """
        with self._calls() as (client, retry):
            if _MANIFEST.fullmatch(_name(self.url)):
                return self._listed(client, retry)
            return self._measured(client, retry)

    def fetch(
        self, manifest: Manifest, into: Path, scratch: Path, progress: ProgressListener
    ) -> Manifest:
        """Transfer the files, each pinned to its digest, or to the ETag it had.

        Raises:
            SourceError: The bytes could not be had.
            ChangedError: The file is not the one that was resolved.
            IntegrityError: A file never verifies.
            ResourceError: The disk has not the room.
            StoreError: The folder cannot be used.
        """
        listed = _MANIFEST.fullmatch(_name(self.url)) is not None
        with self.opened(manifest) as (origin, retry):
            arrived = self.network.download(
                manifest, origin, into, scratch, retry=retry, progress=progress
            )
        if listed:
            check_configs(arrived.files, into, self.selection, where=self.uri)
            check_not_pickled(arrived.files, into, self.selection, where=self.uri)
        for promised, file in zip(manifest.files, arrived.files, strict=True):
            if promised.sha256 is None:
                self._trusted(into / file.path, file)
        return arrived

    @contextmanager
    def opened(self, manifest: Manifest) -> Iterator[tuple[Origin, Retry]]:
        """Where the files' bytes come from; see `pilotage.fetch.sources.source.RangedSource`."""
        listed = _MANIFEST.fullmatch(_name(self.url)) is not None
        etag = None
        if not listed and manifest.id.startswith(_ETAG):
            etag = ETag.parse(manifest.id.removeprefix(_ETAG))

        def address(file: FileEntry) -> Address:
            return Address(self._beside(file.path) if listed else self.url, etag=etag)

        with self._calls() as (client, retry):
            yield HttpOrigin(client, address, name=self.url.origin), retry

    def _listed(self, client: HttpClient, retry: Retry) -> Manifest:
        data, _ = self._call(retry, lambda: client.get_bytes(self.url, limit=_MAX_MANIFEST))
        digest = hashlib.sha256(data).hexdigest()
        if self.sha256 is not None and digest != self.sha256:
            raise IntegrityError(
                f"the manifest is not the one that was named: expected sha256 {self.sha256}, "
                f"found {digest}",
                where=self.uri,
                hint="Check the sha256, or whether a newer manifest is meant",
            )
        if self.sha256 is None:
            _log.warning(
                "%s: the manifest is trusted as it came; to be sure of it, give #sha256=%s",
                self.uri,
                digest,
            )
        files = {file.path: file for file in self._entries(data)}
        choice = self.selection.choose_listed(list(files), where=self.uri)
        choice.tell(where=self.uri)
        return Manifest(self.uri, f"sha256:{digest}", tuple(files[path] for path in choice.paths))

    def _entries(self, data: bytes) -> Iterator[FileEntry]:
        """The files of a manifest, of which nothing is trusted."""
        try:
            tree = json.loads(data)
        except (ValueError, RecursionError):
            raise self._malformed("it is not JSON") from None
        listed = tree.get("files") if isinstance(tree, dict) else None
        if not isinstance(listed, list) or not listed:
            raise self._malformed("it lists no files")
        seen: set[str] = set()
        for entry in listed:
            if not isinstance(entry, dict):
                raise self._malformed("it lists something that is no file")
            try:
                path = checked_path(entry.get("path"))
            except SourceError as error:
                error.where = self.uri
                raise
            size, sha256 = entry.get("size"), entry.get("sha256")
            if path in seen:
                raise self._malformed(f"it names {path[:80]!r} twice")
            if type(size) is not int or not 0 <= size <= _MAX_SIZE:
                raise self._malformed(f"it gives no size for {path[:80]!r}")
            if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256.lower()):
                raise self._malformed(f"it gives no sha256 for {path[:80]!r}")
            seen.add(path)
            yield FileEntry(path, size, sha256.lower())

    def _measured(self, client: HttpClient, retry: Retry) -> Manifest:
        """One file: a byte of it is asked for, as a signed URL may not answer HEAD."""
        name = _name(self.url)
        html = name.lower().endswith(_PAGES)

        def measure() -> tuple[int | None, ETag | None]:
            try:
                with client.open_range(self.url, 0, 1, html=html) as answer:
                    return answer.total, answer.etag
            except (NoRangesError, ChangedError):
                pass  # ranges are ignored, or an empty file has no first byte
            except StatusError as error:
                if error.status != 416:
                    raise
            with client.get(self.url, html=html) as answer:
                return answer.total, answer.etag

        size, etag = self._call(retry, measure)
        if size is None:
            raise SourceError(
                "the server does not say how large the file is",
                where=self.uri,
                hint="Download it with another tool and give its path",
            )
        strong = etag if etag is not None and not etag.weak else None
        if self.sha256 is not None:
            revision = f"sha256:{self.sha256}"
        else:
            revision = f"{_ETAG}{strong}" if strong is not None else f"size {size}"
        return Manifest(self.uri, revision, (FileEntry(name, size, self.sha256),))

    def _trusted(self, path: Path, file: FileEntry) -> None:
        """Look at what came without a promise, and say what it was."""
        with path.open("rb") as opened:
            begins = opened.read(512)
        if _PAGE_BEGINS.match(begins) and not file.path.lower().endswith(_PAGES):
            raise SourceError(
                f"a web page came instead of {file.path}",
                where=self.uri,
                hint="A proxy, a login page or a captive portal may stand between",
            )
        _log.warning(
            "%s: no digest was given, so what came is trusted as it is; to be sure of it from now "
            "on, give #sha256=%s",
            self.uri,
            file.sha256,
        )

    def _beside(self, path: str) -> Url:
        folder = self.url.path.rpartition("/")[0]
        return replace(self.url, path=f"{folder}/{quote(path)}")

    def _malformed(self, why: str) -> SourceError:
        return SourceError(
            f"this is no manifest: {why}",
            where=self.uri,
            hint='The form is {"files": [{"path": …, "size": …, "sha256": …}]}',
        )

    def _call(self, retry: Retry, fn: Callable[[], T]) -> T:
        try:
            return retry.call(fn, origin=self.url.origin)
        except StatusError as error:
            if error.status not in {404, 410}:
                raise
            raise SourceError(
                "there is no such file", where=self.uri, hint="Check the URL"
            ) from None

    @contextmanager
    def _calls(self) -> Iterator[tuple[HttpClient, Retry]]:
        with self.network.client() as client:
            yield client, Retry(self.network.retry)


def _name(url: Url) -> str:
    """The file's name, from the URL's last part."""
    return unquote(PurePosixPath(url.path).name if not url.path.endswith("/") else "")
