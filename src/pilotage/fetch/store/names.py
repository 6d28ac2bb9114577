"""Where the cache lies, and what a revision's folder in it is called."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path


def default_home() -> Path:
    """The cache folder: ``PILOTAGE_HOME``, else ``pilotage`` in the user's cache folder."""
    if chosen := os.environ.get("PILOTAGE_HOME"):
        return Path(chosen).expanduser().absolute()
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache").absolute() / "pilotage"


def folder_name(source: str) -> str:
    """A folder name that a person recognises and that no two sources share."""
    readable = re.sub(r"[^A-Za-z0-9._]+", "-", source.split("://", 1)[-1]).strip("-.")[:80]
    return f"{readable}-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
