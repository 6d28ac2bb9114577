"""From a vector a token to one vector a text, as sentence-transformers writes it down.

``modules.json`` lists what follows the transformer; ``1_Pooling/config.json`` says how vectors
are pooled (https://sbert.net, read 2026-11).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pilotage.engines.encoders.architecture import read_config
from pilotage.errors import ModelError, UnsupportedModelError

Mode = Literal["cls", "mean", "max", "mean_sqrt_len_tokens"]

_MODES: Final[tuple[Mode, ...]] = ("cls", "max", "mean", "mean_sqrt_len_tokens")
_KEYS: Final[Mapping[str, str]] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True, slots=True)
class Pooling:
    """How token vectors become a text's vector.

    Attributes:
        modes: One or several; the vectors of several are joined end to end.
        normalize: Whether it is scaled to length 1.
    """

    modes: tuple[Mode, ...] = ("mean",)
    normalize: bool = True

    @staticmethod
    def of_folder(folder: Path) -> Pooling:
        """What the folder's ``modules.json`` says; the mean, normalised, where there is none.

        Raises:
            ModelError: A file is damaged.
            UnsupportedModelError: A module follows that is not known here.
        """
        path = folder / "modules.json"
        if not path.is_file():
            return Pooling()
        where = str(path)
        try:
            modules = json.loads(path.read_text(encoding="utf-8"))
            kinds = [(str(m["type"]).rpartition(".")[2], str(m["path"])) for m in modules]
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise ModelError(f"damaged: {str(error)[:100]}", where=where) from error
        names = [kind for kind, _ in kinds]
        known = {"Transformer", "Pooling", "Normalize"}
        if strange := [name for name in names if name not in known]:
            raise UnsupportedModelError(
                f"the module {strange[0]} after the transformer, which Pilotage does not have",
                where=where,
                hint="It has Pooling and Normalize",
            )
        pooled = next((place for kind, place in kinds if kind == "Pooling"), None)
        modes: tuple[Mode, ...] = ("mean",)
        if pooled is not None:
            modes = _modes(folder, pooled)
        return Pooling(modes, "Normalize" in names)

    def width(self, hidden: int) -> int:
        """Length of the vector that comes of `hidden` values a token."""
        return hidden * len(self.modes)


def _modes(folder: Path, place: str) -> tuple[Mode, ...]:
    if place.startswith("/") or ".." in Path(place).parts:
        raise ModelError(f"damaged: a module at {place[:80]!r}", where=str(folder / "modules.json"))
    config: Mapping[str, Any] = read_config(folder / place)
    named = config.get("pooling_mode")
    wanted = [named] if isinstance(named, str) else []
    wanted = wanted or [mode for key, mode in _KEYS.items() if config.get(key) is True]
    if strange := [mode for mode in wanted if mode not in _MODES]:
        raise UnsupportedModelError(
            f'the pooling mode "{strange[0]}", which Pilotage does not have',
            where=str(folder / place / "config.json"),
            hint=f"It has {', '.join(_MODES)}",
        )
    return tuple(mode for mode in _MODES if mode in wanted) or ("mean",)
