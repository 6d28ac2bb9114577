"""Anatomies of models: read from configs, or looked up by name."""

from pilotage.catalog.anatomies.from_gguf import anatomy_from_gguf
from pilotage.catalog.anatomies.known import (
    known_anatomy,
    known_config,
    known_models,
    nearest_known,
)
from pilotage.catalog.anatomies.reading import FAMILIES, anatomy_from_config

__all__ = [
    "FAMILIES",
    "anatomy_from_config",
    "anatomy_from_gguf",
    "known_anatomy",
    "known_config",
    "known_models",
    "nearest_known",
]
