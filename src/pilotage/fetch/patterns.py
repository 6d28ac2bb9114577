"""Which files of a model are wanted, as shell patterns."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import urlencode

from pilotage.errors import SourceError
from pilotage.fetch.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Selection:
    """A choice among the files that a source offers.

    Attributes:
        include: Shell patterns for whole paths; a file must match one of them, if there are any.
            A ``*`` matches ``/`` too.
        exclude: Shell patterns; a file must match none of them.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """What tells this selection of a source's files from others; empty when all are wanted."""
        chosen = [("include", one) for one in sorted(set(self.include))]
        chosen += [("exclude", one) for one in sorted(set(self.exclude))]
        return f"#{urlencode(chosen)}" if chosen else ""

    def wants(self, path: str) -> bool:
        """Whether a file is wanted."""
        included = not self.include or any(fnmatchcase(path, one) for one in self.include)
        return included and not any(fnmatchcase(path, one) for one in self.exclude)

    def of(self, manifest: Manifest) -> Manifest:
        """The wanted files of `manifest`.

        Raises:
            SourceError: None of them is wanted.
        """
        files = tuple(file for file in manifest.files if self.wants(file.path))
        if not files:
            some = ", ".join(file.path for file in manifest.files[:5])
            raise SourceError(
                "the patterns leave none of the model's files",
                where=manifest.source,
                hint=f"It has {some}{', …' if len(manifest.files) > 5 else ''}",
            )
        return Manifest(manifest.source, manifest.id, files)
