"""What the supervisor tells the processes it starts: one small file each, read once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from pilotage.engines.memory import MemoryPlan

FATAL_EXIT = 3
"""Exit code of a process that left a `PilotageError` in its error file: starting it again would
end the same way."""


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All that one worker needs to know."""

    index: int
    model_path: str
    plan: MemoryPlan
    cores: tuple[int, ...]
    max_num_batched_tokens: int | None
    prefix_caching: bool
    cache: str
    socket: str
    board: str
    errors: str
    log_format: Literal["text", "json"]
    log_level: Literal["debug", "info", "warning", "error"]


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All that the gateway needs to know; ``deployment`` is the spec as JSON."""

    deployment: str
    model_path: str
    max_model_len: int
    key_file: str
    listener_fd: int
    created: int
    workers: tuple[WorkerConfig, ...]
    board: str
    errors: str
    log_format: Literal["text", "json"]
    log_level: Literal["debug", "info", "warning", "error"]


C = TypeVar("C", WorkerConfig, GatewayConfig)


def write_config(path: Path, config: WorkerConfig | GatewayConfig) -> None:
    """Write a config where only this user can read it."""
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(config))


def read_config(path: Path, kind: type[C]) -> C:
    """Read it in the process it was written for."""
    return msgspec.json.decode(path.read_bytes(), type=kind)
