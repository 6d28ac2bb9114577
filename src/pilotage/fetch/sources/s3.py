"""``s3://bucket/prefix`` or ``s3://bucket/key``: a model in a bucket of any S3 endpoint.

Credentials, region and endpoint are found as every AWS tool finds them (``AWS_PROFILE``, roles,
``AWS_REGION``, ``AWS_ENDPOINT_URL``); ``AWS_NO_SIGN_REQUEST=1`` reads public buckets without any.

Each file's sha256 is the one S3 keeps, or that of a ``SHA256SUMS`` or ``manifest.json`` beside it.
Where there is none, what comes is trusted on first use, which is said aloud; its size and ETag are
pinned while it is fetched, and so is its version where the bucket keeps versions.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from pilotage.errors import IntegrityError, SourceError
from pilotage.fetch.http import Url
from pilotage.fetch.manifest import FileEntry, Manifest, checked_path, checked_sha256, mismatch
from pilotage.fetch.origin import ChangedError, Origin
from pilotage.fetch.progress import ProgressListener
from pilotage.fetch.remote_code import check_configs, may_name_code
from pilotage.fetch.retry import Retry
from pilotage.fetch.selection import Selection
from pilotage.fetch.sources import fragment
from pilotage.fetch.sources.network import Network
from pilotage.fetch.sources.s3_api import S3Api
from pilotage.fetch.sources.s3_errors import DeniedError, MissingError, archived
from pilotage.fetch.sources.s3_object import S3Object, crc32_of
from pilotage.fetch.sources.s3_origin import S3Origin
from pilotage.fetch.sources.s3_sums import MAX_BYTES, NAMES, Promise, read_sums

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_VERSION: Final = re.compile(r"[\x21-\x7e]{1,1024}")
_FORM: Final = "The form is s3://bucket/prefix, or s3://bucket/key for one file"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Resolved:
    """What the last `S3Source.resolve` found: the objects by path."""

    id: str = ""
    objects: dict[str, S3Object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class S3Source:
    """The files below a prefix of a bucket, or one object.

    Attributes:
        bucket: Its name.
        key: Of the object, or the prefix without its final slash; empty for the whole bucket.
        version: Of the object; None for the newest.
        endpoint: Of a store that is not Amazon's. It is part of the URI: the same bucket there is
            another bucket.
        sha256: Of the one object; None if nobody named it.
        selection: Which files of a prefix.
        network: Bounds of calls and transfers.
    """

    bucket: str
    key: str
    version: str | None = None
    endpoint: str | None = None
    sha256: str | None = None
    selection: Selection = field(default_factory=Selection)
    network: Network = field(default_factory=Network, compare=False, repr=False)
    _resolved: _Resolved = field(default_factory=_Resolved, compare=False, repr=False)

    @staticmethod
    def parse(
        uri: str,
        *,
        revision: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        network: Network | None = None,
    ) -> S3Source:
        """Read the URI. ``#``, ``?`` and ``%`` in a key are written ``%23``, ``%3F`` and ``%25``.

        Raises:
            SourceError: It is malformed.
            UsageError: A pattern or a digest is malformed.
        """
        bare, values = fragment.split(uri[len("s3://") :])
        path, asked, query = bare.partition("?")
        bucket, _, key = path.partition("/")
        where = f"s3://{path[:200]}"
        if not _BUCKET.fullmatch(bucket) or ".." in bucket:
            shown = bucket.rpartition("@")[2]  # what is before it may be keys
            raise SourceError(
                f"{shown[:80]!r} is no bucket's name",
                where=f"s3://{path.rpartition('@')[2][:200]}",
                hint=f"{_FORM}; credentials are given by the environment",
            )
        key = unquote(key, errors="replace").removesuffix("/")
        if key:
            with _of(where):
                checked_path(key)
        name, _, version = query.partition("=")
        if asked and (name != "versionId" or not version or "&" in version):
            raise SourceError(
                "the query is none of S3's", where=where, hint="It may be ?versionId=… alone"
            )
        version = unquote(version)
        if version and revision is not None and revision != version:
            raise SourceError("two different versions are named", where=where, hint="Name one")
        pinned = version or revision
        if pinned and (not _VERSION.fullmatch(pinned) or not key):
            raise SourceError(
                "a version is that of one object", where=where, hint=f"{_FORM}?versionId=…"
            )
        digests = values.pop("sha256", [None])
        if len(digests) > 1:
            raise SourceError("one sha256 names the bytes, not several", where=where)
        endpoint = _endpoint(values.pop("endpoint", []), where)
        selection = fragment.selection(values, include, exclude)
        fragment.refuse_unknown(values, where=where)
        digest = checked_sha256(digests[0])
        return S3Source(bucket, key, pinned, endpoint, digest, selection, network or Network())

    @property
    def uri(self) -> str:
        """``s3://bucket/key``, with version, endpoint, digest and patterns if there are any."""
        version = f"?versionId={quote(self.version, safe='')}" if self.version else ""
        pairs = [("endpoint", self.endpoint)] if self.endpoint else []
        pairs += [("sha256", self.sha256)] if self.sha256 else []
        chosen = fragment.joined([*pairs, *fragment.of_selection(self.selection)])
        return f"s3://{self.bucket}/{quote(self.key)}{version}{chosen}"

    @property
    def in_place(self) -> Path | None:
        """None: the files must be fetched."""
        return None

    def resolve(self) -> Manifest:
        """The chosen files with sizes, ETags, versions, and digests where there are any.

        Raises:
            SourceError: There is nothing there, it may not be read, a name is hostile, or there
                is nothing (or too much) to choose.
            IntegrityError: S3 and a file of digests do not say the same.
        """
        with self._calls() as (api, _):
            objects, promised = self._one(api) or self._folder(api)
        files = []
        for path, found in objects.items():
            if found.archived:
                raise archived(f"s3://{self.bucket}/{found.key}")
            files.append(FileEntry(path, found.size, self._digest(path, found, promised)))
        pins = [
            [found.key, found.etag, found.version, found.size, file.sha256]
            for found, file in zip(objects.values(), files, strict=True)
        ]
        text = json.dumps([self.endpoint, self.bucket, pins])
        self._resolved.id = f"s3:{hashlib.sha256(text.encode()).hexdigest()}"
        self._resolved.objects = objects
        return Manifest(self.uri, self._resolved.id, tuple(files))

    def fetch(
        self, manifest: Manifest, into: Path, scratch: Path, progress: ProgressListener
    ) -> Manifest:
        """Transfer the files; configurations first, so that remote code stops it there.

        Raises:
            SourceError: The bytes could not be had, or a configuration names remote code.
            ChangedError: An object is not the one that was resolved.
            IntegrityError: A file never verifies.
            ResourceError: The disk has not the room.
            StoreError: The folder cannot be used.
        """
        configs = tuple(file for file in manifest.files if may_name_code(file))
        rest = tuple(file for file in manifest.files if file not in configs)
        arrived: dict[str, FileEntry] = {}
        with self.opened(manifest) as (origin, retry):
            for files, journal in ((configs, "configs.journal"), (rest, "journal")):
                if not files:
                    continue
                came = self.network.download(
                    replace(manifest, files=files),
                    origin,
                    into,
                    scratch,
                    retry=retry,
                    progress=progress,
                    journal=journal,
                )
                arrived |= {file.path: file for file in came.files}
                if files is configs:
                    with _of(self.uri):
                        check_configs(configs, into, self.selection, where=self.uri)
        self._check_trusted([file for file in manifest.files if file.sha256 is None], into)
        return replace(manifest, files=tuple(arrived[file.path] for file in manifest.files))

    @contextmanager
    def opened(self, manifest: Manifest) -> Iterator[tuple[Origin, Retry]]:
        """Where the files' bytes come from; see `pilotage.fetch.sources.source.RangedSource`."""
        if self._resolved.id != manifest.id and self.resolve().id != manifest.id:
            raise ChangedError("the objects have changed", where=self.uri, hint="Fetch again")
        with self._calls() as (api, retry):
            yield S3Origin(api, self._resolved.objects, pinned=self.version is not None), retry

    def _one(self, api: S3Api) -> tuple[dict[str, S3Object], dict[str, Promise]] | None:
        """The object that the key names; None if it names a folder."""
        if not self.key:
            return None
        try:
            found = api.head(self.key, self.version)
        except MissingError:
            if self.version:
                raise
            return None
        except DeniedError:
            # What may not be listed is not said to be missing; what may be listed might be there.
            if self.version or not self._is_folder(api):
                raise
            return None
        if found.size == 0 and self._is_folder(api):
            return None  # a marker that some tools leave
        if self.selection.include or self.selection.exclude:
            raise SourceError(
                "patterns choose among files, and this is one file",
                where=self.uri,
                hint="Leave them out, or give the prefix",
            )
        folder, slash, name = self.key.rpartition("/")
        chosen = Selection((name,)).choose([name], where=self.uri)
        if chosen.unsafe:
            _log.warning("%s: can run code when it is opened", self.uri)
        known = self.sha256 or found.sha256
        sums = {} if known or name in NAMES else self._sums(api, f"{folder}{slash}", NAMES)
        return {name: found}, {name: sums[name]} if name in sums else {}

    def _is_folder(self, api: S3Api) -> bool:
        try:
            return next(iter(api.list(f"{self.key}/")), None) is not None
        except DeniedError:
            return False

    def _folder(self, api: S3Api) -> tuple[dict[str, S3Object], dict[str, Promise]]:
        """The chosen objects below the prefix, and what is promised of them."""
        prefix = f"{self.key}/" if self.key else ""
        paths = [key[len(prefix) :] for key, _ in api.list(prefix)]
        if not paths:
            raise SourceError(
                "there is no such key, and none below it" if prefix else "the bucket is empty",
                where=self.uri,
                hint=_FORM,
            )
        if self.sha256 is not None:
            raise SourceError("a sha256 is that of one object", where=self.uri, hint=_FORM)
        with _of(self.uri):
            for path in self.selection.narrowed(paths):
                checked_path(path)
        choice = self.selection.choose(paths, where=self.uri)
        if choice.unsafe:
            _log.warning(
                "%s: taken because a pattern names them, and able to run code when they are "
                "opened: %s",
                self.uri,
                ", ".join(choice.unsafe[:10]),
            )
        promised = self._sums(api, prefix, [name for name in NAMES if name in paths])
        missing = [path for path in promised if path not in paths]
        if missing:
            raise SourceError(
                f"the upload is not whole: {missing[0][:80]!a} is promised and not there",
                where=self.uri,
                hint="Upload it, or correct the file of digests",
            )
        threads = min(self.network.transfer.threads, len(choice.paths))
        pool = ThreadPoolExecutor(threads, thread_name_prefix="fetch-head")
        try:
            found = list(pool.map(lambda path: api.head(prefix + path), choice.paths))
        finally:
            pool.shutdown(cancel_futures=True)
        return dict(zip(choice.paths, found, strict=True)), promised

    def _sums(self, api: S3Api, prefix: str, names: Sequence[str]) -> dict[str, Promise]:
        """What the first file of digests says that there is."""
        for name in names:
            try:
                promises = read_sums(name, api.small(prefix + name, MAX_BYTES))
            except (MissingError, DeniedError):
                continue
            if promises:
                return promises
        return {}

    def _digest(self, path: str, found: S3Object, promised: dict[str, Promise]) -> str | None:
        """The digest that all who name one agree on; None if nobody does."""
        promise = promised.get(path)
        if promise is not None and promise.size not in {None, found.size}:
            raise IntegrityError(
                f"{path} has {found.size:,} bytes where {promise.size:,} are promised",
                where=self.uri,
                hint="Upload it again, or correct the file of digests",
            )
        named = [self.sha256, promise.sha256 if promise is not None else None, found.sha256]
        digests = list(dict.fromkeys(digest for digest in named if digest is not None))
        if len(digests) > 1:
            raise mismatch(self.uri, path, expected=digests[0], found=digests[1])
        return digests[0] if digests else None

    def _check_trusted(self, files: Sequence[FileEntry], into: Path) -> None:
        """Look at what came without a sha256: S3 may know another checksum of it."""
        for file in files:
            crc32 = self._resolved.objects[file.path].crc32
            if crc32 is not None and crc32_of(into / file.path) != crc32:
                (into / file.path).unlink()  # or a later run would take it for good
                raise IntegrityError(
                    f"{file.path} is not the file that S3 has: its CRC-32 differs",
                    where=self.uri,
                    hint="Fetch again",
                )
        if files:
            _log.warning(
                "%s: nobody names a sha256 of these, so what came is trusted: %s; a SHA256SUMS "
                "file beside them would vouch for them",
                self.uri,
                ", ".join(file.path for file in files[:10]),
            )

    @contextmanager
    def _calls(self) -> Iterator[tuple[S3Api, Retry]]:
        retry = Retry(self.network.retry)
        api = S3Api(self.bucket, self.endpoint, network=self.network, retry=retry)
        try:
            yield api, retry
        finally:
            api.close()


def _endpoint(named: Sequence[str], where: str) -> str | None:
    """The endpoint that the environment names; a URI may repeat it, and name no other.

    Requests carry the session token: whoever writes a URI must not choose who gets it.
    """
    text = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        text = ""
    try:
        url = Url.parse(text.strip().rstrip("/")) if text.strip() else None
    except SourceError as error:
        error.hint = "AWS_ENDPOINT_URL must be the address of an S3 endpoint"
        raise
    endpoint = f"{url.origin}{url.path.rstrip('/')}" if url is not None else None
    if any(name != endpoint for name in named):
        raise SourceError(
            "the URI names another endpoint than the environment",
            where=where,
            hint="Set AWS_ENDPOINT_URL to the one that you trust with your credentials",
        )
    return endpoint


@contextmanager
def _of(where: str) -> Iterator[None]:
    """Say of errors that are of nothing that they are of this source."""
    try:
        yield
    except SourceError as error:
        error.where = error.where or where
        raise
