"""What a user may say about applying and destroying."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pilotage.ship.lifecycle.waiting import Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a user may say about applying.

    Attributes:
        waiting: How long, and how often AWS is asked.
        parameters: Values of the template's parameters, in place of what is found.
        address: Where the endpoint is asked, in place of its own address.
        key: API key for that.
        completion: Whether a completion is asked for at all.
        keep: Whether what came up and does not answer stays, to be looked at.
        purge: Whether destroy removes what would be kept, too.
    """

    waiting: Waiting = field(default_factory=Waiting)
    parameters: Mapping[str, str] = field(default_factory=dict)
    address: str | None = None
    key: str | None = field(default=None, repr=False)
    completion: bool = True
    keep: bool = False
    purge: bool = False
