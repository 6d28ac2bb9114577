"""The token for a hub, found where huggingface_hub finds it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pilotage.errors import SourceError


@dataclass(frozen=True, slots=True)
class HubToken:
    """A secret and where it came from.

    Attributes:
        value: Never in a message, a log or a file of ours.
        found_in: The environment variable or the file, for messages.
    """

    value: str = field(repr=False)
    found_in: str

    @staticmethod
    def find(environ: Mapping[str, str] | None = None) -> HubToken | None:
        """``HF_TOKEN``, else the file ``HF_TOKEN_PATH``, ``$HF_HOME/token`` or in ``~/.cache``.

        Raises:
            SourceError: What is there is no token.
        """
        env = os.environ if environ is None else environ
        for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            if value := env.get(variable, "").strip():
                return HubToken(_checked(value, variable), variable)
        path = _path(env)
        try:
            # Tokens are some 40 characters; whatever else lies there is not read whole.
            with path.open(encoding="utf-8") as file:
                value = file.read(4096).strip()
        except (OSError, UnicodeDecodeError):
            return None
        return HubToken(_checked(value, str(path)), str(path)) if value else None

    @property
    def headers(self) -> dict[str, str]:
        """To send to the hub's own origin."""
        return {"Authorization": f"Bearer {self.value}"}


def _path(env: Mapping[str, str]) -> Path:
    if named := env.get("HF_TOKEN_PATH"):
        return Path(named).expanduser()
    if home := env.get("HF_HOME"):
        return Path(home).expanduser() / "token"
    caches = env.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "huggingface" / "token"


def _checked(value: str, found_in: str) -> str:
    if len(value) > 1024 or not value.isascii() or not value.isprintable() or " " in value:
        raise SourceError(
            "this is no token: it holds spaces, line breaks or letters that none has",
            where=found_in,
            hint="A token is one word such as hf_…; make one in the hub's settings",
        )
    return value
