"""What the words of a plan mean, for ``pilotage plan --explain TERM``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from pilotage.errors import UsageError
from pilotage.plan.glossary_terms import TERMS
from pilotage.units import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A term explained.

    Attributes:
        title: The term, written out.
        text: What it is and why a plan shows it.
        formula: How it is computed; empty where it is not.
        source: Where the formula or the figures come from.
        names: What it is looked up by, the shortest first.
    """

    title: str
    text: str
    formula: str
    source: str
    names: tuple[str, ...]


def explain(term: str) -> Entry:
    """The entry of a term, whatever its case, hyphens and plural.

    Raises:
        UsageError: There is no such term; the hint names the nearest.
    """
    wanted = _key(term)
    known = _by_key()
    for key in (wanted, wanted.removesuffix("s"), wanted.removesuffix("es")):
        if key in known:
            return known[key]
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.6)
    within = [key for key in known if len(wanted) >= 3 and wanted in key]
    meant = (near or within or [""])[0]
    hint = f'Did you mean "{known[meant].names[0]}"? ' if meant else ""
    shown = term if len(term) <= 40 else f"{term[:36]}…"
    raise UsageError(
        f'there is no term "{printable(shown)}"',
        where="--explain",
        hint=f"{hint}Terms are {', '.join(entry.names[0] for entry in entries())}",
    )


@cache
def entries() -> tuple[Entry, ...]:
    """Every entry, by title."""
    found = (
        Entry(names=names, title=title, text=text, formula=formula, source=source)
        for names, title, text, formula, source in TERMS
    )
    return tuple(sorted(found, key=lambda entry: entry.title.lower()))


@cache
def _by_key() -> Mapping[str, Entry]:
    return MappingProxyType({_key(name): entry for entry in entries() for name in entry.names})


def _key(term: str) -> str:
    """Letters and digits alone: "KV-cache" and "kv cache" are one; p99s of a metric are it."""
    text = re.sub(r"[^a-z0-9%]+", "", term.lower())
    return re.sub(r"^(ttft|tpot|e2e)p\d+$", r"\1", text)
