"""Puts the helper modules of the planner's tests where they are found."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for `planning`
