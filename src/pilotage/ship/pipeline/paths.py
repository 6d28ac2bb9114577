"""Paths as a workflow names them: within the repository, and taken literally everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pilotage.errors import UsageError
from pilotage.units import printable

_GLOB: Final = re.compile(r"([*?+\[\]!])")


def repository(folder: Path) -> Path:
    """The root of the repository that a folder lies in; the folder itself where there is none."""
    here = folder.resolve()
    return next((one for one in (here, *here.parents) if (one / ".git").exists()), here)


def in_repository(path: Path, root: Path, *, where: str) -> str:
    """A file's path from the repository's root, with slashes.

    Args:
        path: Of the file.
        root: Of the repository.
        where: The argument that names it, for errors.

    Raises:
        UsageError: It lies elsewhere, or has a name that a workflow cannot hold.
    """
    try:
        found = path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        raise UsageError(
            f"{printable(str(path))} is not in the repository",
            where=where,
            hint=f"A workflow sees what is committed; move it below {printable(str(root))}",
        ) from None
    # What is no text, would end a line, be an option, or be evaluated by GitHub.
    bad = not found.isprintable() or "\\" in found or "${{" in found or found.startswith("-")
    if bad or not found.encode("utf-8", "replace").decode() == found:
        raise UsageError(
            f'"{printable(found)}" cannot stand in a workflow',
            where=where,
            hint="Rename it: letters, digits, dots, hyphens and slashes always work",
        )
    return found


def literal(path: str) -> str:
    """A path as a filter of GitHub's that matches it and nothing else."""
    return _GLOB.sub(r"\\\1", path)
