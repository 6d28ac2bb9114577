"""Whether the balancer has taken a replica up again, after it was away.

A replica that is loading asks for a pause, and a circuit breaker of the balancer leaves one alone
that did not answer, for pauses that double up to a minute. Both go on for a while when the replica
is back. The next replica must not go before that, or nobody is left who may be asked.
"""

from __future__ import annotations

import http.client
import os
import re
import time
from typing import Final
from urllib.parse import urlsplit

_STATE: Final = re.compile(
    r'^pilotage_route_(breaker|available)\{backend="[^"]*/(\d+)"\} (\d)', re.MULTILINE
)
KEY_VARIABLE: Final = "PILOTAGE_API_KEY"
"""Of the environment that apply was called in: a balancer with keys wants one."""

_CLOSED: Final = 0
_HALF_OPEN: Final = 1
_ASK_S: Final = 0.5
_TIMEOUT_S: Final = 2.0
_QUIET_S: Final = 5.0
"""A breaker that is half open for so long waits for a request to find out: nobody asks anything."""
_UNKNOWN_S: Final = 60.0
"""The longest pause of either kind: waited for where the state cannot be read."""


class Uptake:
    """Looks at the balancer's breakers, now and then."""

    def __init__(self) -> None:
        self._asked = 0.0
        self._asked_for: frozenset[int] = frozenset()
        self._answer = False
        self._since: dict[int, float] = {}

    def complete(self, address: str, replicas: frozenset[int], ready_for_s: float) -> bool:
        """Whether all these replicas are asked again.

        Args:
            address: The balancer's.
            replicas: Their places among its backends.
            ready_for_s: How long the youngest of them has been ready.
        """
        now = time.monotonic()
        if now - self._asked >= _ASK_S or replicas != self._asked_for:
            self._asked, self._asked_for = now, replicas
            found = states_at(address)
            if found is None:
                self._answer = ready_for_s >= _UNKNOWN_S
            else:
                asked = [self._is_asked(one, found) for one in replicas]
                self._answer = all(asked)
        return self._answer

    def _is_asked(self, replica: int, found: dict[tuple[str, int], int]) -> bool:
        if not found.get(("available", replica), 1):
            self._since.pop(replica, None)
            return False
        if found.get(("breaker", replica), _CLOSED) != _HALF_OPEN:
            self._since.pop(replica, None)
            return True
        since = self._since.setdefault(replica, time.monotonic())
        return time.monotonic() - since >= _QUIET_S


def states_at(address: str) -> dict[tuple[str, int], int] | None:
    """What the balancer says of its backends: ("available" or "breaker", place) and the value.

    None if it does not tell.
    """
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    try:
        key = os.environ.get(KEY_VARIABLE, "").strip()
        headers = {"authorization": f"Bearer {key}"} if key else {}
        connection.request("GET", "/metrics", headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            return None
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return {(what, int(place)): int(value) for what, place, value in _STATE.findall(text)}
