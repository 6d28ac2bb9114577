"""Names of models, as files of scores spell them, brought together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

_RESULT: Final = re.compile(r"[_ .-](?:is_)?(?:correct|score|accuracy|acc|passed|label)$", re.I)
_ANSWER: Final = re.compile(r"[_ .-](?:response|answer|output|completion|generation)$", re.I)

_VERSION: Final = re.compile(r"v[0-9][0-9.]*")
_QUALIFIERS: Final = ("instruct", "chat", "it", "preview", "hf", "latest")


def result_stem(column: str) -> str | None:
    """The model's name in a column such as ``gpt_4_correct``; nothing if it is not one."""
    return _stem(_RESULT, column)


def answer_stem(column: str) -> str | None:
    """The model's name in a column such as ``gpt-4_response``; nothing if it is not one."""
    return _stem(_ANSWER, column)


def _stem(ending: re.Pattern[str], column: str) -> str | None:
    found = ending.search(column)
    return column[: found.start()] if found and found.start() else None


def key(name: str) -> tuple[str, str]:
    """A name without owner, case, punctuation and words such as instruct; and its version.

    ``mistralai/Mixtral-8x7B-Instruct-v0.1`` is ``("mixtral8x7b", "v0.1")``.
    """
    words = re.split(r"[^a-z0-9.]+", name.rpartition("/")[2].lower())
    versions = [word for word in words if _VERSION.fullmatch(word)]
    core = "".join(word for word in words if word not in _QUALIFIERS and word not in versions)
    return core.replace(".", ""), "".join(versions)


def find_name(name: str, among: Iterable[str]) -> str | None:
    """The one of several names that means the same model.

    The same spelling is taken first, then the only one of the same `key`; a version that one of
    the two leaves out is no difference: files say ``gpt_4_1106`` and ``mixtral_8x7b`` where others
    say ``gpt-4-1106-preview`` and ``mistralai/Mixtral-8x7B-Instruct-v0.1``.
    """
    names: Sequence[str] = tuple(among)
    if name in names:
        return name
    core, version = key(name)
    alike = [(one, key(one)[1]) for one in names if core and key(one)[0] == core]
    for fits in (
        [one for one, other in alike if other == version],
        [one for one, other in alike if not other or not version],
    ):
        if len(fits) == 1:
            return fits[0]
    return None
