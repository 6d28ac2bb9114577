"""What replicas wrote, from CloudWatch Logs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.outcome import LogLine
from pilotage.ship.lifecycle.stack import StackResource
from pilotage.ship.lifecycle.waiting import Waiting
from pilotage.units import printable

GROUP_TYPE: Final = "AWS::Logs::LogGroup"
# Lines arrive late, and out of order by as much.
_LATE_S: Final = 15.0


def log_groups(resources: Iterable[StackResource]) -> tuple[str, ...]:
    """The log groups that a stack made, those it keeps included."""
    return tuple(one.id for one in resources if one.type == GROUP_TYPE and one.id)


def last_lines(aws: Aws, groups: Iterable[str], *, since_s: float, most: int) -> list[LogLine]:
    """The newest lines of all groups, the oldest of them first."""
    lines: list[LogLine] = []
    for group in groups:
        start = time.time() - since_s
        lines += deque((line for _, line in _events(aws, group, start)), maxlen=most)
    return sorted(lines, key=lambda one: one.at)[-most:] if most else []


def follow(aws: Aws, groups: Iterable[str], *, waiting: Waiting) -> Iterator[LogLine]:
    """New lines from now on, without an end."""
    held = tuple(groups)
    seen: deque[str] = deque(maxlen=10_000)
    start = time.time()
    while True:
        fresh = [
            (key, line)
            for group in held
            for key, line in _events(aws, group, start - _LATE_S)
            if key not in seen
        ]
        seen.extend(key for key, _ in fresh)
        yield from sorted((line for _, line in fresh), key=lambda one: one.at)
        if fresh:
            start = max(start, *(line.at.timestamp() for _, line in fresh))
        time.sleep(waiting.poll_s)


def _events(aws: Aws, group: str, start: float) -> Iterator[tuple[str, LogLine]]:
    if aws.try_call("logs", "describe_log_streams", "ResourceNotFoundException",
                    logGroupName=group, limit=1) is None:  # fmt: skip
        return
    events: Iterable[dict[str, Any]] = aws.pages(
        "logs", "filter_log_events", "events", logGroupName=group, startTime=int(start * 1000)
    )
    for one in events:
        yield (
            str(one["eventId"]),
            LogLine(
                at=datetime.fromtimestamp(one["timestamp"] / 1000, UTC),
                stream=str(one.get("logStreamName", "")),
                text=printable(str(one.get("message", "")).rstrip()),
            ),
        )
