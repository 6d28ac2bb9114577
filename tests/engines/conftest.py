"""Lets the tests of this folder write GGUF files with the catalog tests' writer."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "catalog"))
