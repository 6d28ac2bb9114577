"""Puts the helper modules, those of `tests/prove` too, where tests of the commands find them."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "prove"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
