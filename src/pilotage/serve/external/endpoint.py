"""What a keeper tells the gateway of the server it keeps: one small file, there while it answers.

The file is replaced as a whole at each start of the engine, so that a reader sees one life of it
or the next, and the file's absence says that nobody answers. It holds the engine's API key and
lies in the server's private folder.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from pilotage.engines.engine import EngineInfo


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A running server of an engine.

    Attributes:
        socket: Path of its Unix socket, or
        port: its port on 127.0.0.1.
        api_key: What it wants to be shown; no other start of it has the same.
        model: The name it serves the model under.
        names: All names it answers to: the model's, then its LoRA adapters'.
        info: What it can hold, as measured at its start.
    """

    socket: str | None = None
    port: int | None = None
    api_key: str
    model: str
    names: tuple[str, ...]
    info: EngineInfo

    @property
    def base_url(self) -> str:
        """The address for an HTTP client; over a Unix socket the host is only a name."""
        return "http://engine" if self.port is None else f"http://127.0.0.1:{self.port}"


def publish(path: Path, endpoint: Endpoint) -> None:
    """Say that the server answers."""
    part = path.with_name(f"{path.name}.part")
    part.touch(mode=0o600)
    part.write_bytes(msgspec.json.encode(endpoint))
    os.replace(part, path)  # noqa: PTH105  the atomic one, by its name


def withdraw(path: Path) -> None:
    """Say that it does not."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def look_up(path: Path) -> Endpoint | None:
    """The server that answers now; None when there is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Endpoint)
    except (OSError, msgspec.DecodeError):
        return None
