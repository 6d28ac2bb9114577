"""The actions that workflows use, each pinned to a commit: a tag can be moved, a commit cannot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An action of somebody else's.

    Attributes:
        name: ``OWNER/REPOSITORY`` on GitHub.
        version: The release; people and Dependabot read it.
        sha: The commit of that release, 40 hex digits; it decides what runs.
        source: Where commit and version were seen together.
        on: When, ISO date.
    """

    name: str
    version: str
    sha: str
    source: str
    on: str

    @property
    def pinned(self) -> str:
        """What stands after ``uses:``."""
        return f"{self.name}@{self.sha}"


@cache
def load_actions() -> Mapping[str, Action]:
    """All actions by their names; `actions.json` says how they are renewed."""
    text = files("pilotage.ship.pipeline").joinpath("actions.json").read_text("utf-8")
    found = (Action(**one) for one in json.loads(text)["actions"])
    return MappingProxyType({one.name: one for one in found})
