"""From a source to a model on this machine, whole and verified."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pilotage.errors import IntegrityError, SourceError
from pilotage.fetch.digest import sha256_of
from pilotage.fetch.manifest import FileEntry, Manifest, checked_sha256
from pilotage.fetch.progress import ProgressListener, unheard
from pilotage.fetch.sources import Source, parse_source
from pilotage.fetch.store import Revision, Store, default_home


@dataclass(frozen=True, slots=True)
class FetchedModel:
    """A model that is on this machine.

    Attributes:
        path: What an engine opens: the file when the model is one file, else the folder.
        manifest: The model's files. Files in the cache have size and sha256; of files used in
            place only the size is known, unless a sha256 was given.
        from_cache: True when it was there already and nothing had to be fetched.
    """

    path: Path
    manifest: Manifest
    from_cache: bool


def fetch(
    source: str,
    *,
    sha256: str | None = None,
    revision: str | None = None,
    home: Path | None = None,
    progress: ProgressListener | None = None,
    verify: bool = False,
) -> FetchedModel:
    """Have the model that `source` names on this machine, fetching it if it is not there yet.

    A model that is in the cache is opened without any network call. A ``file://`` source is
    used where it lies. Nothing is printed.

    Args:
        source: A source URI or a path; see `parse_source`.
        sha256: The digest that a one-file model must have.
        revision: The revision, where the source does not hold it.
        home: The cache folder; by default `default_home`.
        progress: Told how far a download is.
        verify: Hash the cached files again even if their sizes and times are as they were.

    Raises:
        UsageError: The sha256 is malformed, or the model has several files.
        SourceError: The model cannot be had.
        IntegrityError: The bytes are not those that `sha256` names; nothing was published.
        StoreError: The cache folder cannot be used.
        ResourceError: The disk is full.
    """
    digest = checked_sha256(sha256)
    listener = progress or unheard
    origin = parse_source(source, revision=revision)
    if origin.in_place is not None:
        return _in_place(origin, origin.in_place, digest, listener)
    store = Store(home.absolute() if home is not None else default_home())
    if ready := store.open(origin.uri, verify=verify, progress=listener):
        try:
            ready.manifest.expecting(digest)
        except IntegrityError as error:
            error.hint = (
                f"These bytes are in the cache. Check the sha256, or remove "
                f"{store.folder(origin.uri)} to fetch again"
            )
            raise
        return _opened(ready, from_cache=True)
    return _opened(_fetched(origin, store, digest, listener), from_cache=False)


def _fetched(
    origin: Source, store: Store, digest: str | None, listener: ProgressListener
) -> Revision:
    promised = origin.resolve().expecting(digest)
    with store.stage(origin.uri) as staging:
        arrived = origin.fetch(promised, staging.files, staging.scratch, listener)
        promised.check_arrived(arrived)
        return store.publish(staging, arrived)


def _in_place(
    origin: Source, path: Path, digest: str | None, listener: ProgressListener
) -> FetchedModel:
    manifest = origin.resolve()
    if digest is not None:
        promised = manifest.expecting(digest)
        (file,) = manifest.files
        try:
            found = sha256_of(path / file.path if path.is_dir() else path, listener)
        except OSError as error:
            raise SourceError(
                f"cannot be read: {error.strerror or error}", where=str(path)
            ) from error
        manifest = Manifest(manifest.source, manifest.id, (FileEntry(file.path, file.size, found),))
        promised.check_arrived(manifest)
    return FetchedModel(path, manifest, from_cache=True)


def _opened(revision: Revision, *, from_cache: bool) -> FetchedModel:
    files = revision.manifest.files
    path = revision.files / files[0].path if len(files) == 1 else revision.files
    return FetchedModel(path, revision.manifest, from_cache)
