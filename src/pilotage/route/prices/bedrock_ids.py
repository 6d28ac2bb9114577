"""Under which names the price book may know a model of Bedrock.

Bedrock's ids, inference profiles and ARNs name a model in several ways; the book follows the ids
of genai-prices, where "regional." and "global." stand for the profiles. A name that might mean
another model is not tried: a global profile is cheaper than a regional one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

_REGIONAL: Final = frozenset(
    {"af", "apac", "au", "ca", "eu", "in", "jp", "me", "mx", "sa", "us", "us-gov"}
)
"""What profiles over the regions of a part of the world begin with."""

_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:bedrock:(?P<region>[a-z0-9-]*):[0-9]*:(?P<kind>[a-z-]+)/(?P<name>.+)", re.ASCII
)
_VERSION: Final = re.compile(r"(?:-v(?P<major>[0-9]+))?(?::(?P<minor>[0-9]+))?$", re.ASCII)


def arn_region(model: str) -> str | None:
    """The region that an ARN is of; None where there is none."""
    found = _ARN.fullmatch(model)
    return (found["region"] or None) if found else None


def price_ids(model: str, known: Iterable[str]) -> list[str]:
    """Names to look a model up under; the first that has a price gives it.

    Args:
        model: A model id, an inference profile, or the ARN of one.
        known: The ids of the book.

    Returns:
        None at all for ARNs that do not tell the model: of provisioned throughput, of imported
        models, of one's own application inference profiles.
    """
    if found := _ARN.fullmatch(model):
        if found["kind"] not in {"foundation-model", "inference-profile"}:
            return []
        model = found["name"]
    where, _, rest = model.partition(".")
    if where == "global":
        wanted = [model]
    else:
        base = rest if where in _REGIONAL else model
        wanted = [model, f"regional.{base}", base]
    all_known = list(known)
    tried = [(one, _parts(one)) for one in wanted]
    near = [name for _, parts in tried for name in all_known if _parts(name).means(parts)]
    return list(dict.fromkeys([*wanted, *near]))


class _Parts(NamedTuple):
    stem: str
    major: str | None
    minor: str | None

    def means(self, other: _Parts) -> bool:
        """Whether the two are one model, though one may leave its version out."""
        return (
            self.stem == other.stem
            and (self.major == other.major or {self.major, other.major} <= {None, "1"})
            and (self.minor == other.minor or None in (self.minor, other.minor))
        )


def _parts(name: str) -> _Parts:
    found = _VERSION.search(name)
    if found is None:  # the pattern matches at the end of any name
        return _Parts(name, None, None)
    return _Parts(name[: found.start()], found["major"], found["minor"])
