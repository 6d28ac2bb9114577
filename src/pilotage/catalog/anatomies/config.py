"""A model's ``config.json``, read with the care that files from strangers need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pilotage.errors import ModelError

_LARGEST: Final = 1 << 40


class Config:
    """The numbers of a config; every one is checked when it is asked for.

    Args:
        data: The decoded JSON object.
        where: The file or the name it was looked up as, for errors.
    """

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self.data = data
        self.where = where

    def integer(self, *keys: str, default: int | None = None, low: int = 1) -> int:
        """A whole number under the first of the keys that is there.

        Raises:
            ModelError: There is none and no default, or it is impossible.
        """
        for key in keys:
            raw = self.data.get(key)
            if raw is None:
                continue
            if type(raw) is not int or not low <= raw <= _LARGEST:
                raise ModelError(f"damaged: {key} cannot be {raw!r}"[:200], where=self.where)
            return raw
        if default is None:
            raise ModelError(
                f"the config does not say {keys[0]}"
                + (f" (nor {', '.join(keys[1:])})" if keys[1:] else ""),
                where=self.where,
                hint=f"Add {keys[0]} to a copy of the config.json and plan with that file",
            )
        return default

    def optional(self, *keys: str, low: int = 1) -> int | None:
        """The same, or None."""
        given = any(self.data.get(key) is not None for key in keys)
        return self.integer(*keys, low=low) if given else None

    def flag(self, *keys: str, default: bool) -> bool:
        """True or false."""
        for key in keys:
            raw = self.data.get(key)
            if isinstance(raw, bool):
                return raw
        return default

    def words(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty when it is not there."""
        raw = self.data.get(key)
        return tuple(map(str, raw)) if isinstance(raw, list | tuple) else ()

    def integers(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers; empty when it is not there."""
        raw = self.data.get(key)
        if not isinstance(raw, list | tuple):
            return ()
        if not all(type(one) is int for one in raw):
            raise ModelError(f"damaged: {key} should hold whole numbers", where=self.where)
        return tuple(raw)

    def section(self, *keys: str) -> Config | None:
        """An object inside, or None."""
        for key in keys:
            raw = self.data.get(key)
            if isinstance(raw, Mapping):
                return Config(raw, f"{self.where} {key}")
        return None

    @property
    def family(self) -> str:
        """The ``model_type``; empty when it is not there."""
        raw = self.data.get("model_type")
        return raw if isinstance(raw, str) else ""
