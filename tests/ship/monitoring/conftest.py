"""Makes the helpers beside the tests of monitoring importable."""

import sys
from pathlib import Path

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))  # for watched_shipments and its like
