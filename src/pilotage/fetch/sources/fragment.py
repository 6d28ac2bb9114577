"""What follows ``#`` in a source's URI: the choice of files, and a digest.

The store knows a model by its URI, so everything that makes it another set of files is in there,
in one form: ``#sha256=…&include=…&exclude=…``, percent-encoded, each key in this order.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, unquote

from pilotage.errors import SourceError
from pilotage.fetch.selection import Selection


def split(uri: str) -> tuple[str, dict[str, list[str]]]:
    """A URI without its fragment, and the fragment's values by key.

    Raises:
        SourceError: The fragment is not of ``key=value`` pairs.
    """
    bare, mark, fragment = uri.partition("#")
    values: dict[str, list[str]] = {}
    for pair in fragment.split("&") if mark and fragment else ():
        key, equals, value = pair.partition("=")
        if not equals or not value:
            raise SourceError(
                "what follows '#' is not of the form key=value",
                where=bare.partition("?")[0][:200],
                hint="Write #sha256=…, #include=PATTERN or #exclude=PATTERN",
            )
        values.setdefault(key, []).append(unquote(value))
    return bare, values


def selection(
    values: dict[str, list[str]], include: Iterable[str], exclude: Iterable[str]
) -> Selection:
    """The patterns of a fragment, taken out of `values`, and those given beside the URI.

    Raises:
        UsageError: A pattern is malformed.
    """
    return Selection.of(
        sorted({*values.pop("include", []), *include}),
        sorted({*values.pop("exclude", []), *exclude}),
    )


def refuse_unknown(values: dict[str, list[str]], *, where: str) -> None:
    """Refuse keys that nobody took out of `values`.

    Raises:
        SourceError: There is one.
    """
    for key in values:
        raise SourceError(
            f"{key[:40]!r} after '#' means nothing here",
            where=where,
            hint="What may stand there is sha256 (of one file), include and exclude",
        )


def joined(pairs: Iterable[tuple[str, str]]) -> str:
    """The fragment, with ``#``, of these pairs; empty if there are none."""
    text = "&".join(f"{key}={quote(value, safe='/*[]!,:@')}" for key, value in pairs)
    return f"#{text}" if text else ""


def of_selection(chosen: Selection) -> list[tuple[str, str]]:
    """The pairs that stand for a selection."""
    return [
        *(("include", pattern) for pattern in chosen.include),
        *(("exclude", pattern) for pattern in chosen.exclude),
    ]
