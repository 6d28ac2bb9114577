"""Well-known models by name, so that a plan needs no network."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml

from pilotage.catalog.anatomies.reading import anatomy_from_config
from pilotage.catalog.anatomy import Anatomy


@cache
def _configs() -> Mapping[str, tuple[str, Mapping[str, Any]]]:
    """Name in lower case → name as published, config."""
    text = (resources.files("pilotage.catalog") / "data" / "models.yaml").read_text()
    return {
        name.lower(): (name, entry["config"])
        for entry in yaml.safe_load(text)
        for name in (entry["name"], *entry.get("same_as", ()))
    }


def known_models() -> tuple[str, ...]:
    """Their names, as published."""
    return tuple(name for name, _ in _configs().values())


def known_config(name: str) -> Mapping[str, Any] | None:
    """The ``config.json`` figures of a known model; None for an unknown one. Case does not matter.

    A name without its owner will do where only one owner has it.
    """
    configs = _configs()
    wanted = name.lower()
    if wanted in configs:
        return configs[wanted][1]
    short = [config for full, (_, config) in configs.items() if full.split("/")[-1] == wanted]
    return short[0] if len(short) == 1 else None


def known_anatomy(name: str) -> Anatomy | None:
    """The anatomy of a known model; None for an unknown one."""
    config = known_config(name)
    return None if config is None else anatomy_from_config(config, name)


def nearest_known(name: str) -> str | None:
    """The known model whose name is most like this one, for a hint."""
    near = difflib.get_close_matches(name.lower(), _configs(), n=1)
    return _configs()[near[0]][0] if near else None
