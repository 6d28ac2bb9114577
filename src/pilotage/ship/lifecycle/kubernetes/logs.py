"""What the pods of a deployment wrote, and go on writing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from pilotage.ship.lifecycle.kubernetes.kubectl import Kubectl
from pilotage.ship.lifecycle.outcome import LogLine
from pilotage.units import printable

_MOST_PODS: Final = "--max-log-requests=100"
"""kubectl follows five pods unless told otherwise, and refuses more."""
_AGAIN_S: Final = 2.0


def read_logs(
    kubectl: Kubectl, label: str, *, since_s: float, most: int, follow: bool
) -> Iterator[LogLine]:
    """The last ``most`` lines of the last ``since_s`` seconds, oldest first; then new ones.

    kubectl follows the pods that are there when it begins, and ends with them: it is started again
    then, from the last line on, so a rollout's new pods follow the old ones. Closing the iteration,
    and Ctrl-C, end it.

    Args:
        kubectl: The command.
        label: Of the pods, "name=value".
        since_s: How far back.
        most: The most lines of what was written before.
        follow: Whether to go on with new lines.

    Raises:
        TargetError: They cannot be read.
    """
    pods = (
        "logs", "-n", kubectl.namespace, "-l", label, "--prefix", "--timestamps",
        # Init containers too: that is where the weights are fetched.
        "--all-containers", "--ignore-errors", _MOST_PODS,
    )  # fmt: skip
    began = datetime.now(UTC)
    back = f"--since={max(1, int(since_s))}s"
    text = kubectl.run(*pods, back, f"--tail={most}")
    found = sorted((_line(one) for one in text.splitlines() if one), key=lambda one: one.at)
    yield from found[-most:] if most else ()
    if not follow:
        return
    last = max((one.at for one in found), default=began - timedelta(seconds=1))
    known = {(one.stream, one.at) for one in found}
    while True:
        since = f"--since-time={last.strftime('%Y-%m-%dT%H:%M:%SZ')}"
        for one in map(_line, kubectl.lines(*pods, "--follow", "--tail=-1", since)):
            if (one.stream, one.at) in known:
                continue  # --since-time knows whole seconds
            known = {(stream, at) for stream, at in known if at >= one.at - timedelta(seconds=60)}
            known.add((one.stream, one.at))
            last = max(last, one.at)
            yield one
        time.sleep(_AGAIN_S)


def _line(text: str) -> LogLine:
    """``[pod/NAME/CONTAINER] TIME what it wrote``."""
    stream, _, rest = text.partition(" ")
    at, _, said = rest.partition(" ")
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        moment, said = datetime.now(UTC), rest
    if moment.tzinfo is None:
        moment, said = datetime.now(UTC), rest
    return LogLine(at=moment, stream=stream.strip("[]"), text=printable(said))
