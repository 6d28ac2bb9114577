"""What the supervisor tells a keeper: one small file, read once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from pilotage.engines.external.settings import ExternalSettings


class KeeperConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All that a keeper needs to know.

    Attributes:
        worker: The number of its device slice.
        program: The engine's program, see `pilotage.engines.external.program`.
        settings: The model and how it shall run.
        cores: Logical CPUs it and its engine are pinned to.
        environment: Variables of the device slice.
        folder: Private folder for its socket.
        endpoint: File in which it tells the gateway where the engine answers.
        cache: Folder for what is converted or found out once.
        hang_timeout_s: Time without progress after which the engine is probed, and then ended.
    """

    worker: int
    program: str
    settings: ExternalSettings
    cores: tuple[int, ...]
    environment: dict[str, str]
    folder: str
    endpoint: str
    board: str
    errors: str
    cache: str
    hang_timeout_s: float
    log_format: Literal["text", "json"]
    log_level: Literal["debug", "info", "warning", "error"]

    def write(self, path: Path) -> None:
        """Write it where only this user can read it."""
        path.touch(mode=0o600)
        path.write_bytes(msgspec.json.encode(self))

    @staticmethod
    def read(path: Path) -> KeeperConfig:
        """Read it in the process it was written for."""
        return msgspec.json.decode(path.read_bytes(), type=KeeperConfig)
