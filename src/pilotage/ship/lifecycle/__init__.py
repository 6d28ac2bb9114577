"""From rendered to running, and away again: diff, apply, status, logs, smoke, destroy."""

from pilotage.ship.lifecycle.difference import Change, Difference
from pilotage.ship.lifecycle.lifecycle import (
    Agree,
    AgreeToDestroy,
    HasEndpoint,
    HasLogs,
    HasWeights,
    Lifecycle,
)
from pilotage.ship.lifecycle.outcome import (
    Applied,
    Destroyed,
    Leftover,
    LogLine,
    Replicas,
    Status,
)
from pilotage.ship.lifecycle.progress import Note, Say, silent

__all__ = [
    "Agree",
    "AgreeToDestroy",
    "Applied",
    "Change",
    "Destroyed",
    "Difference",
    "HasEndpoint",
    "HasLogs",
    "HasWeights",
    "Leftover",
    "Lifecycle",
    "LogLine",
    "Note",
    "Replicas",
    "Say",
    "Status",
    "silent",
]
