"""Where models come from: one file a kind of source, all behind `Source`."""

from __future__ import annotations

import re

from pilotage.errors import SourceError
from pilotage.fetch.sources.file import FileSource
from pilotage.fetch.sources.pypi import PypiSource
from pilotage.fetch.sources.source import Source

__all__ = ["FileSource", "PypiSource", "Source", "parse_source"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PLANNED = ("hf", "s3", "https", "swarm")


def parse_source(uri: str, *, revision: str | None = None) -> Source:
    """The source that a URI or a plain path names. Touches neither disk nor network.

    Args:
        uri: ``pypi://package==version/path/inside/wheel``, ``file:///absolute/path``, or a path.
        revision: The revision, where the URI does not hold it.

    Raises:
        SourceError: The scheme is unknown, or the URI is malformed.
    """
    match = _SCHEME.match(uri)
    if match is None or match[1].lower() == "file":
        return FileSource.parse(uri, revision=revision)
    scheme = match[1].lower()
    if scheme == "pypi":
        return PypiSource.parse(uri, revision=revision)
    known = "Sources are pypi://package==version/path, file:///path, and plain paths"
    if scheme in _PLANNED:
        raise SourceError(
            f"{scheme}:// sources are not part of this version of Pilotage yet",
            where=_without_secrets(uri),
            hint=f"Download the model and give its path. {known}",
        )
    raise SourceError(f"unknown kind of source {scheme!r}", where=_without_secrets(uri), hint=known)


def _without_secrets(uri: str) -> str:
    """The URI without user names, passwords and query strings, fit for a message."""
    return re.sub(r"(://)[^/@]*@", r"\1***@", uri.split("?", 1)[0])[:200]
