"""The container's own health check: is the server ready, asked over 127.0.0.1.

Not curl, which engines' images lack; not "localhost", which may be ::1 while the server listens on
IPv4. Exit 0 is healthy, 1 is not.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping

_TIMEOUT_S = 5.0


def main(environ: Mapping[str, str]) -> int:
    """Ask once.

    Args:
        environ: ``PILOTAGE_PORT`` (8000) and ``PILOTAGE_HEALTH_PATH`` (/health/ready).

    Returns:
        The exit status.
    """
    try:
        port = int(environ.get("PILOTAGE_PORT", "8000"))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        connection.request("GET", environ.get("PILOTAGE_HEALTH_PATH", "/health/ready"))
        return 0 if connection.getresponse().status == http.client.OK else 1
    except (OSError, ValueError, http.client.HTTPException):
        return 1


if __name__ == "__main__":
    sys.exit(main(os.environ))
