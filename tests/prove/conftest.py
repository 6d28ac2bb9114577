"""Puts helper modules where tests find them: `odd_servers` here, `running` beside the server."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE, HERE / "report", HERE.parent / "serve"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
