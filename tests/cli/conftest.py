"""Puts helper modules where tests of the commands find them, those of prove and serve too."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "prove", HERE.parent / "serve"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
