"""Rendered files in a folder: written whole, and never over what someone else wrote there.

A list of what was made, with digests, lies beside the files. A file that is not on it, or has been
edited since, is not overwritten. A render that is killed leaves each file old or new, and the list
naming both, so that the next render goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pilotage.errors import StoreError, UsageError
from pilotage.units import printable

LIST: Final = ".pilotage-render.json"


def write_folder(
    folder: Path,
    files: Mapping[str, str],
    *,
    deployment: str,
    listed_in: str = LIST,
    force: bool = False,
) -> tuple[Path, ...]:
    """Write ``files`` into ``folder`` and remove what an earlier render made and this does not.

    Args:
        folder: Where to.
        files: Text by path within it.
        deployment: Whose files they are.
        listed_in: The list's name: what is on another list in the same folder stays as it is.
        force: Overwrite what was not made here, or was edited since.

    Returns:
        Every file written, in order.

    Raises:
        UsageError: A file that would be overwritten was not made here, or was edited since; nothing
            is written then.
        StoreError: The folder cannot be written.
    """
    for name in files:
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or name == listed_in:
            raise ValueError(f"{name} is no path within the folder")
    made = _made(folder / listed_in, deployment)
    try:
        for name, text in () if force else files.items():
            _check_ours(folder / name, text, made.get(name, ()))
        digests = {name: _digest(text.encode()) for name, text in files.items()}
        both = {
            name: sorted({*made.get(name, ()), *([digests[name]] if name in digests else ())})
            for name in {*made, *digests}
        }
        _write(folder / listed_in, _listed(deployment, both))
        for name, text in files.items():
            _write(folder / name, text)
        for name in made.keys() - files.keys():
            _remove(folder, name, made[name])
        last = {key: [one] for key, one in digests.items()}
        _write(folder / listed_in, _listed(deployment, last))
    except OSError as error:
        raise StoreError(
            f"cannot be written: {(error.strerror or 'input/output error').lower()}",
            where=printable(str(error.filename or folder)),
        ) from None
    return tuple(folder / name for name in files)


def _made(path: Path, deployment: str) -> dict[str, tuple[str, ...]]:
    """Digests by path of what earlier renders of this deployment made, from their list."""
    try:
        found: Any = json.loads(path.read_text("utf-8"))
        owner = found["deployment"]
        files = {str(name): tuple(map(str, known)) for name, known in found["files"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            "cannot be read as a list of rendered files",
            where=printable(str(path)),
            hint="Render into another folder (-o), or remove this one",
        ) from None
    if owner != deployment:
        raise UsageError(
            f'the folder holds what was rendered for the deployment "{printable(str(owner))}"',
            where=printable(str(path.parent)),
            hint="Render into another folder (-o)",
        )
    return {
        name: known
        for name, known in files.items()
        if not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
    }


def _check_ours(path: Path, text: str, known: tuple[str, ...]) -> None:
    if not path.is_symlink() and not path.exists():
        return
    same = path.is_file() and not path.is_symlink()
    if same and _digest(path.read_bytes()) in {*known, _digest(text.encode())}:
        return
    said = "was edited since it was rendered" if known else "was not rendered by Pilotage"
    raise UsageError(
        f"{said}, and is not overwritten",
        where=printable(str(path)),
        hint="Move it away, or render into another folder (-o)",
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".pilotage-", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        mode = 0o755 if text.startswith("#!") else 0o644
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _remove(folder: Path, name: str, known: tuple[str, ...]) -> None:
    path = folder / name
    if path.is_file() and not path.is_symlink() and _digest(path.read_bytes()) in known:
        path.unlink()


def _listed(deployment: str, files: Mapping[str, Any]) -> str:
    return json.dumps({"deployment": deployment, "files": dict(sorted(files.items()))}, indent=1)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
