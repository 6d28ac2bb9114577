"""Pickles that go by another name: a ``.bin`` beside an ``.xml`` passes for OpenVINO's weights.

Names that PyTorch's libraries open are refused before the first byte (`file_kinds`). This is the
second line, and looks at the bytes that came: what
``torch.save`` writes begins as a zip archive or as a pickle, which raw weights do not, but by a
chance of one in some hundred millions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pilotage.errors import SourceError
from pilotage.fetch.manifest import FileEntry
from pilotage.fetch.selection import Selection

# A zip archive; a pickle of protocol 2 to 5: torch's magic number, a frame, or what else begins
# one (an empty dictionary, list or tuple to be filled, a global, a mark).
_PICKLE: Final = re.compile(
    rb"PK\x03\x04|\x80[\x02\x03]\x8a\x0a|\x80[\x04\x05]\x95|\x80[\x02\x03](?:[\]})(]q|c[a-z_])",
    re.DOTALL,
)


def check_not_pickled(
    files: Iterable[FileEntry], folder: Path, selection: Selection, *, where: str
) -> None:
    """Refuse a ``.bin`` that is a pickle, unless a pattern names it.

    Args:
        files: What has arrived.
        folder: Where it is.
        selection: What the user asked for.
        where: The source, for messages.

    Raises:
        SourceError: One is a pickle.
        OSError: One cannot be read.
    """
    for file in files:
        if not file.path.lower().endswith(".bin") or selection.asks_for(file.path):
            continue
        with (folder / file.path).open("rb") as opened:
            begins = opened.read(8)
        if _PICKLE.match(begins):
            raise SourceError(
                f"{file.path} passes for OpenVINO's weights and is a pickle, which can run code "
                "when it is opened",
                where=where,
                hint="Do not trust this repository. If it is meant, name the file: "
                f"--include '*' --include '{file.path}'",
            )
