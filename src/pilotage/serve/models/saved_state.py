"""What a gateway leaves to its successor: which models are loaded where, and the aliases."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from pilotage.serve.control import AliasTarget

_log = logging.getLogger("pilotage.gateway")


class SavedState(msgspec.Struct, frozen=True, kw_only=True):
    """What operators and requests have changed since the server started.

    Attributes:
        loaded: Pairs of model and worker that shall be loaded.
        aliases: The aliases.
    """

    loaded: tuple[tuple[str, int], ...]
    aliases: dict[str, tuple[AliasTarget, ...]]


class StateFile:
    """A small file in the run's private folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> SavedState | None:
        """What was left; None at the first start."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=SavedState)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("the gateway's saved state cannot be read: %s", error)
            return None

    def write(self, state: SavedState) -> None:
        """Keep it, whole or not at all."""
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(state))
            fresh.replace(self._path)
        except OSError as error:  # a full disk must not fail what was asked
            _log.warning("the gateway's state cannot be saved: %s", error)
