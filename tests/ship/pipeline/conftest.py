"""Makes the helpers of these tests importable, and those of shipping."""

import sys
from pathlib import Path

for _folder in (Path(__file__).parent, Path(__file__).parents[1]):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))
