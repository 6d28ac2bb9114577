"""Weights' headers, read where the weights lie: for a shape, and to check a count."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, cast

from pilotage.catalog import count_values, read_header_of, read_safetensors_header
from pilotage.catalog.anatomies import anatomy_from_gguf
from pilotage.catalog.anatomy import Anatomy
from pilotage.errors import ModelError
from pilotage.fetch import PartialFile, look_into
from pilotage.spec import ModelSpec

_PACKED = frozenset({"I32", "I64", "U8", "I8", "F4", "F8_E8M0"})
"""Types in which quantised weights are packed or scaled: their values are not parameters."""


def remote_gguf(source: str, *, revision: str | None, name: str) -> Anatomy:
    """The anatomy of a GGUF file, from its header alone: some megabytes of any file.

    Raises:
        SourceError: It cannot be reached, or its source has no ranges.
        ModelError: It is no GGUF file, or of an unknown architecture.
    """
    with look_into(source, revision=revision) as model:
        files = [file for file in model.files if file.path.endswith(".gguf")]
        if len(files) != 1:
            raise ModelError(
                f"holds {len(files)} GGUF files; one says how the model is built", where=model.uri
            )
        file = model.open(files[0])
        header = read_header_of(_buffered(file), file.size, Path(files[0].path))
    return anatomy_from_gguf(header, name)


def checked_count(model: ModelSpec, anatomy: Anatomy) -> str:
    """Counts the parameters in the weights' own headers and says how the config's count compares.

    Only headers are read: tens of kilobytes a file, of a local folder or by ranges of a remote one.

    Raises:
        SourceError: The weights cannot be reached, or have no ranges.
        ModelError: There are no safetensors files, or one is damaged.
    """
    local = model.local_path
    if local is not None:
        paths = sorted(local.glob("*.safetensors")) if local.is_dir() else [local]
        headers = []
        for path in paths:
            try:
                with path.open("rb") as opened:
                    headers.append(read_safetensors_header(opened, path.stat().st_size, str(path)))
            except OSError as error:
                raise ModelError(f"cannot be read: {error.strerror}", where=str(path)) from None
    else:
        headers = _remote_headers(model)
    if not headers:
        raise ModelError(
            "holds no safetensors files, whose headers could be counted", where=model.source
        )
    types = {entry["dtype"] for header in headers for entry in header.values()}
    found = sum(count_values(header) for header in headers)
    whose = f"the headers of {len(headers)} safetensors file{'s' * (len(headers) > 1)}"
    if types & _PACKED:
        return (
            f"{whose} hold packed or quantised values ({', '.join(sorted(types))}), which cannot "
            f"be held against the config's {anatomy.parameters:,} parameters"
        )
    if found == anatomy.parameters:
        return f"{whose} hold {found:,} parameters, as the config says"
    return (
        f"{whose} hold {found:,} parameters, and by the config there are "
        f"{anatomy.parameters:,} ({anatomy.parameters / found - 1:+.3%})"
    )


def _remote_headers(model: ModelSpec) -> list[dict[str, dict[str, object]]]:
    with look_into(model.source, revision=model.revision, include=["*.safetensors"]) as found:
        headers = []
        for one in found.files:
            file = found.open(one)
            headers.append(read_safetensors_header(_buffered(file), file.size, one.path))
        return headers


def _buffered(file: PartialFile) -> IO[bytes]:
    return cast("IO[bytes]", io.BufferedReader(file))
