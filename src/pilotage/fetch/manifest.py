"""What a source promises and what arrived: the files of one model revision."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from pilotage.errors import IntegrityError, SourceError, UsageError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")
_MAX_PATH = 1024
_MAX_NAME = 240


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a model.

    Attributes:
        path: Relative to the model's folder, with ``/`` between parts; see `checked_path`.
        size: Bytes; None while the source has not said.
        sha256: 64 lower-case hex digits; None while the source has not said.
        git_sha1: The git blob id, 40 lower-case hex digits: all that a hub promises for files
            outside LFS. None where the source does not say it.
    """

    path: str
    size: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of one immutable revision of a model.

    Attributes:
        source: The source URI in canonical form.
        id: What the revision resolved to: a version, a commit, a path. Never moves.
        files: At least one entry, but for a promise of a source that has no list before it has
            the bytes (a folder in a wheel); paths are unique.
    """

    source: str
    id: str
    files: tuple[FileEntry, ...]

    def expecting(self, sha256: str | None) -> Manifest:
        """This manifest with its only file pinned to `sha256` (None changes nothing).

        Raises:
            UsageError: The manifest has several files, so one digest cannot name its bytes.
            IntegrityError: The source itself promises another digest.
        """
        if sha256 is None:
            return self
        if len(self.files) != 1:
            raise UsageError(
                f"a sha256 names the bytes of one file; this source has {len(self.files)} files",
                where=self.source,
                hint="Leave the sha256 out, or name one file of the folder",
            )
        file = self.files[0]
        if file.sha256 is not None and file.sha256 != sha256:
            raise mismatch(self.source, file.path, expected=sha256, found=file.sha256)
        return Manifest(self.source, self.id, (replace(file, sha256=sha256),))

    def check_arrived(self, arrived: Manifest) -> None:
        """Compare what arrived with what was promised, byte counts and digests.

        Raises:
            IntegrityError: A file is missing, was not promised, or differs.
        """
        promised = {file.path: file for file in self.files}
        found = {file.path: file for file in arrived.files}
        if promised.keys() != found.keys():
            names = ", ".join(sorted(promised.keys() ^ found.keys())[:5])
            raise IntegrityError(
                f"the files that arrived are not the files that were promised: {names}",
                where=self.source,
            )
        for path, want in promised.items():
            got = found[path]
            if want.sha256 is not None and want.sha256 != got.sha256:
                raise mismatch(self.source, path, expected=want.sha256, found=str(got.sha256))
            if want.sha256 is None and want.git_sha1 not in {None, got.git_sha1}:
                raise mismatch(
                    self.source,
                    path,
                    expected=str(want.git_sha1),
                    found=str(got.git_sha1),
                    kind="git-sha1",
                )
            if want.size is not None and want.size != got.size:
                raise IntegrityError(
                    f"{path} has {got.size} bytes where {want.size} were promised",
                    where=self.source,
                    hint="Nothing was kept; fetch again",
                )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form, the inverse of `from_dict`."""
        return {
            "source": self.source,
            "id": self.id,
            "files": [
                {"path": f.path, "size": f.size, "sha256": f.sha256}
                | ({"git_sha1": f.git_sha1} if f.git_sha1 is not None else {})
                for f in self.files
            ],
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Manifest:
        """Rebuild a manifest from JSON.

        Raises:
            ValueError: The data has not the shape that `as_dict` writes, or holds hostile paths.
        """
        try:
            files = tuple(
                FileEntry(checked_path(f["path"]), f["size"], f["sha256"], f.get("git_sha1"))
                for f in data["files"]
            )
            if not files:
                raise ValueError("not a manifest: it lists no files")
            manifest = Manifest(str(data["source"]), str(data["id"]), files)
        except (AttributeError, KeyError, TypeError, SourceError) as error:
            raise ValueError(f"not a manifest: {error}") from error
        for file in files:
            if type(file.size) is not int or not _SHA256.fullmatch(str(file.sha256)):
                raise ValueError("not a manifest: a file without size or sha256")
            if file.git_sha1 is not None and not _SHA1.fullmatch(str(file.git_sha1)):
                raise ValueError("not a manifest: a git-sha1 that is none")
        return manifest


def mismatch(
    source: str, path: str, *, expected: str, found: str, kind: str = "sha256"
) -> IntegrityError:
    """The error for a file whose digest is not the one that was named."""
    return IntegrityError(
        f"{path} is not the file that was named: expected {kind} {expected}, found {found}",
        where=source,
        hint=f"Nothing was kept. Check the {kind}, or fetch again if it is right",
    )


def checked_sha256(value: str | None) -> str | None:
    """`value` in lower case.

    Raises:
        UsageError: It is not 64 hex digits.
    """
    if value is None:
        return None
    digest = value.strip().lower().removeprefix("sha256:")
    if not _SHA256.fullmatch(digest):
        raise UsageError(
            f"a sha256 is 64 hex digits; this one has {len(digest)} characters", where=value[:80]
        )
    return digest


def checked_path(path: object) -> str:
    """`path` if it is safe to create below a folder of ours: file names are hostile input.

    Refused are absolute paths, ``.`` and ``..`` parts, empty parts, backslashes, colons (drive
    letters, alternate streams), control characters, and names longer than filesystems take.

    Raises:
        SourceError: The path is none of the harmless ones.
    """
    if isinstance(path, str) and 0 < len(path) <= _MAX_PATH:
        parts = path.split("/")
        plain = all(
            part not in {"", ".", ".."} and len(part.encode(errors="replace")) <= _MAX_NAME
            for part in parts
        )
        if plain and not any(c in "\\:" or not c.isprintable() for c in path):
            return str(PurePosixPath(path))
    raise SourceError(
        f"the source names a file that cannot be stored safely: {str(path)[:80]!r}",
        hint="Paths must be relative, without '..', backslashes, colons or control characters",
    )
