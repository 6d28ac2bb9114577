"""Where models come from: one file a kind of source, all behind `Source`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pilotage.errors import SourceError, UsageError
from pilotage.fetch.sources.file import FileSource
from pilotage.fetch.sources.pypi import PypiSource
from pilotage.fetch.sources.source import RangedSource, SharingSource, Source

if TYPE_CHECKING:
    from pilotage.fetch.sources.network import Network

__all__ = ["FileSource", "PypiSource", "RangedSource", "SharingSource", "Source", "parse_source"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def parse_source(
    uri: str,
    *,
    revision: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    network: Network | None = None,
) -> Source:
    """The source that a URI or a plain path names. Touches neither disk nor network.

    Args:
        uri: ``hf://owner/name[@revision][/pattern]``, ``s3://bucket/prefix``,
            ``https://host/path/file[#sha256=…]``,
            ``pypi://package==version/path/inside/wheel``, ``swarm://`` before an hf, s3 or https
            URI, ``file:///absolute/path``, or a path.
        revision: The revision, where the URI does not hold it.
        include: Patterns of the files to take, of a source that has a choice; see `Selection`.
        exclude: Patterns of the files to leave.
        network: Bounds of calls and transfers.

    Raises:
        SourceError: The scheme is unknown, or the URI is malformed.
        UsageError: A pattern is malformed, or there is nothing to choose from.
    """
    match = _SCHEME.match(uri)
    scheme = match[1].lower() if match is not None else "file"
    if scheme == "hf":
        from pilotage.fetch.sources.hub import HubSource  # noqa: PLC0415  loads an HTTP library

        return HubSource.parse(
            uri, revision=revision, include=include, exclude=exclude, network=network
        )
    if scheme == "s3":
        from pilotage.fetch.sources.s3 import S3Source  # noqa: PLC0415  likewise

        return S3Source.parse(
            uri, revision=revision, include=include, exclude=exclude, network=network
        )
    if scheme in {"https", "http"}:
        from pilotage.fetch.sources.https import HttpsSource  # noqa: PLC0415  likewise

        return HttpsSource.parse(
            uri, revision=revision, include=include, exclude=exclude, network=network
        )
    if scheme == "swarm":
        from pilotage.fetch.swarm.source import SwarmSource  # noqa: PLC0415  likewise

        def origin(inner: str, shared: Network) -> Source:
            return parse_source(
                inner, revision=revision, include=include, exclude=exclude, network=shared
            )

        return SwarmSource.parse(uri, origin, network=network)
    if scheme in {"file", "pypi"} and (include or exclude):
        raise UsageError(
            "patterns choose among files that are fetched, and here there is no choice",
            where=_without_secrets(uri),
            hint="Leave them out",
        )
    if scheme == "file":
        return FileSource.parse(uri, revision=revision)
    if scheme == "pypi":
        return PypiSource.parse(uri, revision=revision)
    known = (
        "Sources are hf://owner/name, s3://bucket/prefix, https://host/path, "
        "pypi://package==version/path, swarm://ORIGIN, file:///path, and plain paths"
    )
    raise SourceError(f"unknown kind of source {scheme!r}", where=_without_secrets(uri), hint=known)


def _without_secrets(uri: str) -> str:
    """The URI without user names, passwords and query strings, fit for a message."""
    return re.sub(r"(://)[^/@]*@", r"\1***@", re.split("[?#]", uri, maxsplit=1)[0])[:200]
