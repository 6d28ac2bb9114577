"""One weight format out of all that a repository offers, and what goes with it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from pilotage.errors import SourceError
from pilotage.fetch.file_kinds import FORMATS, Kind

_INDEX: Final = re.compile(r"\.(safetensors|bin|h5|msgpack|pt|pth)\.index[^/]*\.json$")
_SHARD: Final = re.compile(r"-\d{5}-of-\d{5}(?=\.)")
_NOT_A_CHOICE: Final = re.compile(r"(?:^|/)(?:mmproj|imatrix)[^/]*$|imatrix\.gguf$", re.IGNORECASE)
_ONNX_VARIANT: Final = re.compile(
    r"^(.+?)[._-](?:fp16|fp32|bf16|int8|uint8|int4|quantized|bnb4|q4f16|q[248]|O[1-4]|q?u?int8_\w+"
    r"|optimized)$"
)
_VARIANT: Final = re.compile(r"^(.+)\.(?:fp16|bf16|fp32|non_ema|ema_only)((?:-\d{5}-of-\d{5})?)$")


def default_choice(
    paths: Sequence[str], kinds: Mapping[str, Kind], *, where: str, weights_named: bool
) -> set[str]:
    """What is taken of `paths` when nobody names files: companions and one weight format.

    Args:
        paths: To choose from.
        kinds: What each of them is.
        where: The source, for messages.
        weights_named: Whether weights have been chosen already: then only companions are.

    Raises:
        SourceError: Several quantisations, of which one must be chosen.
    """
    chosen = {path for path in paths if kinds[path] is Kind.COMPANION}
    by_kind: dict[Kind, list[str]] = defaultdict(list)
    for path in paths:
        by_kind[kinds[path]].append(path)
    best = next((kind for kind in FORMATS if by_kind[kind]), None)
    if weights_named:
        best = None
    chosen = {path for path in chosen if _index_of(path) in {None, best}}
    match best:
        case None:
            return chosen
        case Kind.SAFETENSORS:
            return chosen | _plain_safetensors(by_kind[best])
        case Kind.GGUF:
            return chosen | _one_gguf(by_kind[best], where)
        case Kind.ONNX:
            return chosen | _plain_onnx(by_kind[best], where)
        case _:
            return chosen | set(by_kind[best])


def _index_of(path: str) -> Kind | None:
    """The format whose shards an index lists; OTHER for one that is not taken."""
    match = _INDEX.search(path)
    if match is None:
        return None
    return Kind.SAFETENSORS if match[1] == "safetensors" else Kind.OTHER


def _plain_safetensors(paths: Sequence[str]) -> set[str]:
    taken: set[str] = set()
    folders: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        folders[str(PurePosixPath(path).parent)].append(path)
    for files in folders.values():
        plain = [p for p in files if not PurePosixPath(p).name.startswith("consolidated")] or files
        bases = {_SHARD.sub("", PurePosixPath(p).stem + ".") for p in plain}
        for path in plain:
            variant = _VARIANT.match(PurePosixPath(path).stem)
            if variant is None or f"{_SHARD.sub('', variant[1] + '.')}" not in bases:
                taken.add(path)
    return taken


def _one_gguf(paths: Sequence[str], where: str) -> set[str]:
    groups: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        if not _NOT_A_CHOICE.search(path):
            groups[_SHARD.sub("", path)].append(path)
    if len(groups) > 1:
        raise _several("GGUF files, each a whole model", sorted(groups), where)
    return {path for group in groups.values() for path in group}


def _plain_onnx(paths: Sequence[str], where: str) -> set[str]:
    """The plain graph of each name, or its only variant, with the data beside it."""
    variants: dict[str, list[str]] = defaultdict(list)
    graphs = [path for path in paths if path.lower().endswith(".onnx")]
    for graph in graphs:
        match = _ONNX_VARIANT.match(graph[: -len(".onnx")])
        variants[match[1] if match else graph[: -len(".onnx")]].append(graph)
    taken: set[str] = set()
    for base, group in variants.items():
        plain = f"{base}.onnx"
        if plain not in group and len(group) > 1:
            raise _several("ONNX files, each a whole model", sorted(group), where)
        taken.add(plain if plain in group else group[0])
    data = set(paths) - set(graphs)
    # Data that follows another naming than its graph's may belong to any graph: it is kept.
    foreign = {d for d in data if not any(d.startswith(graph) for graph in graphs)}
    return taken | foreign | {d for d in data if any(d.startswith(graph) for graph in taken)}


def _several(what: str, names: list[str], where: str) -> SourceError:
    listed = ", ".join(names[:40]) + (", …" if len(names) > 40 else "")
    return SourceError(
        f"there are {len(names)} {what}: {listed}",
        where=where,
        hint=f"Name one with a pattern, such as --include {quoted(names[0])}",
    )


def quoted(pattern: str) -> str:
    """A pattern as a shell takes it."""
    return "'" + pattern.replace("'", "'\\''") + "'"
