"""Who made a model: the check of a signature over all its files, before the model is published.

Signatures are bundles of the OpenSSF's model signing (``model-signing`` on PyPI, the extra
``signing``). That library does all cryptography, and is not imported unless a check is asked for.
It proves who signed which list of digests; here that list is held against the files:

- Every file that arrived must be signed. What the signer left out is refused as well, as anybody
  may have changed it: all but the signature itself and git's own files.
- Every signed file must be there, less those that the patterns leave out of the signed list.

Files of the cache are compared by the sha256 that they were verified with, so a check of
a signature over sha256 (the default) reads no weights.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

from pilotage.errors import IntegrityError, PilotageError, SourceError, UsageError
from pilotage.fetch.manifest import FileEntry, Manifest, checked_path
from pilotage.fetch.progress import ProgressListener, unheard
from pilotage.fetch.selection import Selection
from pilotage.fetch.signature_library import (
    SignedByCertificate,
    SignedByIdentity,
    SignedByKey,
    SignedList,
    Signer,
    SigningLibrary,
    broken,
    said,
)
from pilotage.fetch.sources import Source

__all__ = [
    "SignatureCheck",
    "SignatureChecker",
    "SignedByCertificate",
    "SignedByIdentity",
    "SignedByKey",
]

DEFAULT_FILE: Final = "model.sig"
"""What model-signing calls a signature unless it is told otherwise."""

_MAX_BYTES: Final = 16 << 20
_SUFFIXES: Final = (".sig", ".sigstore", ".sigstore.json")
_LOCAL: Final = ("/", "./", "../", "~")
_CHOOSING: Final = ("hf://", "s3://")  # sources that leave out what a model does not need

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """Which signature must hold.

    Attributes:
        signer: Who must have signed.
        file: A name inside the model, or the path of a file on this machine.
    """

    signer: Signer
    file: str | Path = DEFAULT_FILE

    @staticmethod
    def of_options(
        *,
        key: Path | None = None,
        certificates: Sequence[Path] = (),
        identity: str | None = None,
        issuer: str | None = None,
        file: str | None = None,
    ) -> SignatureCheck | None:
        """What a command's options ask for; None when they ask for no check.

        Args:
            key: Of `SignedByKey`.
            certificates: Of `SignedByCertificate`.
            identity: Of `SignedByIdentity`.
            issuer: Likewise.
            file: A path when it begins with ``/``, ``./``, ``../`` or ``~``, else a name.

        Raises:
            UsageError: They say no signer, or several.
        """
        if (identity is None) != (issuer is None):
            raise UsageError(
                "--signed-by and --issuer belong together",
                hint="Whoever may log in elsewhere could have the same name there",
            )
        signers: list[Signer] = []
        if key is not None:
            signers.append(SignedByKey(key))
        if certificates:
            signers.append(SignedByCertificate(tuple(certificates)))
        if identity is not None and issuer is not None:
            signers.append(SignedByIdentity(identity, issuer))
        if not signers and file is None:
            return None
        if len(signers) != 1:
            raise UsageError(
                "a signature is checked against one signer",
                hint="Give one of --signed-by-key, --signed-by-certificate, --signed-by",
            )
        named: str | Path = file or DEFAULT_FILE
        if str(named).startswith(_LOCAL):
            named = Path(named).expanduser()
        return SignatureCheck(signers[0], named)


class SignatureChecker:
    """A check that is ready to be made: the library is loaded, the signer's key is read.

    Args:
        asked: The signature that must hold.
        origin: The source of the model.

    Attributes:
        origin: The source to fetch from: as given, and taking the signature's file too.

    Raises:
        UsageError: The library is not installed, or a file or a name is of no use.
        SourceError: Sigstore's root of trust cannot be had.
    """

    def __init__(self, asked: SignatureCheck, origin: Source) -> None:
        self._library = SigningLibrary()
        self._verifier = self._library.verifier(asked.signer)
        self._local = asked.file if isinstance(asked.file, Path) else None
        self._name = "" if self._local is not None else _checked_name(str(asked.file))
        if self._local is not None and not self._local.is_file():
            raise UsageError("there is no such signature file", where=str(self._local))
        self._selection: Selection | None = None
        if origin.in_place is None:
            self._selection = _selection_of(origin)
            if self._name:
                origin = _including(origin, self._name)
        self.origin = origin

    def require(self, promised: Manifest) -> None:
        """See that there is a signature, before the first byte of the model is fetched.

        Raises:
            IntegrityError: The source has none.
        """
        if self._name and all(file.path != self._name for file in promised.files):
            raise IntegrityError(
                f"the model is not signed: there is no {self._name}",
                where=promised.source,
                hint="Name the signature with --signature; one on this machine by its path, "
                "such as ./model.sig",
            )

    def is_signature(self, file: FileEntry) -> bool:
        """Whether the file is the signature and no part of the model."""
        return file.path == self._name

    def check(self, manifest: Manifest, root: Path, progress: ProgressListener = unheard) -> None:
        """See that the signature holds, and that the files are the signed ones.

        Args:
            manifest: The files; those without sha256 are hashed.
            root: The folder that they are in.
            progress: Told about files that are hashed.

        Raises:
            IntegrityError: It does not hold, or a file differs, is missing, or is not signed.
            SourceError: A file cannot be read.
        """
        self.require(manifest)
        signature = self._local if self._local is not None else root / self._name
        try:
            if signature.stat().st_size > _MAX_BYTES:
                raise broken(manifest.source, f"it is larger than {_MAX_BYTES:,} bytes")
            signed = self._library.signed_by(self._verifier, root, signature, where=manifest.source)
            own = self._name or _relative(signature, root)
            files = tuple(file for file in manifest.files if file.path != own)
            self._compare(signed, files, manifest, root, progress)
        except OSError as error:
            raise SourceError(
                f"cannot be read: {error.strerror or error}", where=str(error.filename or root)
            ) from error
        _log.info("%s: the signature holds for %d files", manifest.source, len(files))

    def _compare(
        self,
        signed: SignedList,
        files: Sequence[FileEntry],
        manifest: Manifest,
        root: Path,
        progress: ProgressListener,
    ) -> None:
        """Hold the files against the signed list, in which shards of files may stand for them."""
        paths = {
            name: name.rsplit(":", 2)[0] if signed.shard_size else name for name in signed.digests
        }
        single = set(paths.values()) == {"."}  # a model of one file, whose name is not signed
        if single and len(files) == 1:
            paths = dict.fromkeys(paths, files[0].path)
        listed = set(paths.values())
        # What git keeps for itself is signed by some and not by others.
        files = [file for file in files if file.path in listed or not _is_gits(file.path)]
        # An empty file has no shards, and so cannot be in a list of them.
        no_shards = [file.path for file in files if file.size == 0 and signed.shard_size]
        if unsigned := {file.path for file in files} - listed - {*no_shards}:
            raise _other(manifest, "not signed", unsigned)
        present = {file.path for file in files}
        if missing := self._needed(listed, manifest.source) - present:
            raise _other(manifest, "signed, and missing", missing)
        try:
            found = self._library.digests(signed, files, root, single=single, progress=progress)
        except (TypeError, ValueError) as error:  # a way of hashing that it does not know
            raise broken(manifest.source, said(error)) from error
        expected = {
            name: digest for name, digest in signed.digests.items() if paths[name] in present
        }
        if differing := {name for name, _ in found.items() ^ expected.items()}:
            raise _other(manifest, "changed", {paths.get(name, name) for name in differing})

    def _needed(self, listed: Iterable[str], where: str) -> set[str]:
        """The signed files that must be there: what this source takes of a repository of them."""
        paths = [path for path in sorted(listed) if not _is_gits(path)]
        if self._selection is None:
            return set(paths)
        if where.startswith(_CHOOSING):
            return set(self._selection.choose(paths, where=where).paths)
        return set(self._selection.narrowed(paths))


def _checked_name(name: str) -> str:
    """A signature's name inside a model: it becomes a pattern, and must not name anything else."""
    try:
        checked_path(name)
    except PilotageError as error:
        raise UsageError(error.message, where="--signature", hint=error.hint) from error
    if not name.endswith(_SUFFIXES) or any(c in "*?[]" for c in name):
        raise UsageError(
            f"{name!r} is no signature's name",
            where="--signature",
            hint="It ends in .sig, .sigstore or .sigstore.json; a path begins with / or ./",
        )
    return name


def _selection_of(origin: Source) -> Selection | None:
    """The patterns of a source; of a swarm, those of the source behind it."""
    chosen = getattr(getattr(origin, "origin", origin), "selection", None)
    return chosen if isinstance(chosen, Selection) else None


def _including(origin: Source, name: str) -> Source:
    """The source, taking one file more."""
    behind = getattr(origin, "origin", None)
    if behind is not None:
        return cast(Source, replace(cast(Any, origin), origin=_including(behind, name)))
    chosen = _selection_of(origin)
    if chosen is None:
        raise UsageError(
            "this source is of one file, and has no signature beside it",
            where=origin.uri,
            hint="Give the path of the signature: --signature ./model.sig",
        )
    # "*" leaves the choice as it is without patterns.
    patterns = tuple(sorted({*(chosen.include or ("*",)), name}))
    return cast(Source, replace(cast(Any, origin), selection=Selection(patterns, chosen.exclude)))


def _relative(path: Path, root: Path) -> str | None:
    """The path inside a folder; the last part may be a link to elsewhere."""
    try:
        return (path.parent.resolve() / path.name).relative_to(root.resolve()).as_posix()
    except ValueError:
        return None


def _is_gits(path: str) -> bool:
    return path in {".gitattributes", ".gitignore"} or path.startswith((".git/", ".github/"))


def _other(manifest: Manifest, what: str, paths: Iterable[str]) -> IntegrityError:
    names = sorted(path[:120] if path.isprintable() else ascii(path)[:120] for path in paths)
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    leave = "; what is not signed can be left out with --exclude" if what == "not signed" else ""
    return IntegrityError(
        f"the files are not those that were signed; {what}: {', '.join(names[:5])}{more}",
        where=manifest.source,
        hint=f"The model is not to be trusted as it is{leave}",
    )
