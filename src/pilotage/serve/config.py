"""What the supervisor tells the processes it starts: one small file each, read once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from pilotage.devices import DeviceSlice
from pilotage.engines.config import EngineConfig
from pilotage.engines.engine import Task
from pilotage.images import VisionInput
from pilotage.route.pricing import TierPrice

FATAL_EXIT = 3
"""Exit code of a process that left a `PilotageError` in its error file: starting it again would
end the same way."""


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All that one worker needs to know.

    ``engines`` are opened before the worker is ready, and get the numbers 0, 1, …; an error in
    one of them ends the worker. Others come over the link.
    """

    index: int
    device: DeviceSlice
    engines: tuple[EngineConfig, ...]
    socket: str
    board: str
    errors: str
    log_format: Literal["text", "json"]
    log_level: Literal["debug", "info", "warning", "error"]


class PlacedEngine(msgspec.Struct, frozen=True, kw_only=True):
    """A model on one worker: how its engine is opened there, and how many times."""

    worker: int
    config: EngineConfig
    copies: int = 1


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One model as the gateway knows it.

    Attributes:
        name: What clients call it.
        source: Where it comes from.
        engine: Who runs it.
        load: Whether the workers have it from the start.
        task: What it does.
        path: Its file or folder; the tokenizer is opened from it.
        max_model_len: Longest prompt plus completion, tokens.
        vision: How images come to it.
        labels: A classifier's labels.
        placed: Where its engines are, or can be; empty for one with a server of its own.
    """

    name: str
    source: str
    engine: str
    load: Literal["preload", "lazy"]
    task: Task
    path: str
    max_model_len: int | None
    vision: VisionInput | None = None
    labels: tuple[str, ...] = ()
    placed: tuple[PlacedEngine, ...] = ()


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All that the gateway needs to know.

    Attributes:
        deployment: The spec as JSON.
        models: The models, the default first.
        workers: The workers.
        budgets: Memory that all models of a worker may take, in the order of the workers.
        prices: What each tier of ``routing:`` costs.
        state: File in which it keeps what its successor must know.
    """

    deployment: str
    models: tuple[ModelConfig, ...]
    workers: tuple[WorkerConfig, ...]
    budgets: tuple[int, ...]
    prices: dict[str, TierPrice]
    state: str
    key_file: str
    listener_fd: int
    created: int
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
