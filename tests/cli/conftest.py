"""Puts the helper modules of `tests/prove` where tests of the commands find them."""

import sys
from pathlib import Path

HELPERS = Path(__file__).parent.parent / "prove"
if str(HELPERS) not in sys.path:
    sys.path.insert(0, str(HELPERS))
