"""Renders that are kept as files, so that a change of one is a change somebody looks at.

``PILOTAGE_WRITE_GOLDEN=1 pytest tests/ship`` writes them anew.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def check_golden(name: str, files: Mapping[str, str]) -> None:
    """Hold files against those kept in a folder, or write them there when asked to."""
    folder = GOLDEN / name
    flat = {path.replace("/", "--"): text for path, text in files.items()}
    if os.environ.get("PILOTAGE_WRITE_GOLDEN") == "1":
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for path, text in flat.items():
            (folder / path).write_text(text, encoding="utf-8")
    kept = {one.name: one.read_text("utf-8") for one in folder.iterdir()}
    assert sorted(kept) == sorted(flat)
    for path, text in flat.items():
        assert text == kept[path], f"{name}/{path} is not as kept; see tests/ship/goldens.py"
