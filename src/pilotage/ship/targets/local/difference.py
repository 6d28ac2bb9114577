"""What applying a revision would start, replace and stop on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from pilotage.errors import StoreError
from pilotage.ship.lifecycle.difference import Change, Difference
from pilotage.ship.targets.local.processes import Process, Revision
from pilotage.ship.targets.local.run_folder import RunFolder
from pilotage.ship.targets.local.status import alive_units

_TYPE = "process"


def difference_of(folder: RunFolder, revision: Revision) -> Difference:
    """Compare what runs with a revision, process by process.

    A process that should run and does not, as after a reboot, counts as one to add.
    """
    alive = alive_units(folder)
    changes = []
    for process in revision.processes:
        unit = alive.get(process.name)
        if unit is None:
            changes.append(Change(action="add", name=process.name, type=_TYPE))
        elif unit["digest"] != revision.digests[process.name]:
            changes.append(
                Change(
                    action="change",
                    name=process.name,
                    type=_TYPE,
                    id=f"pid {unit['pid']}",
                    fields=_fields(folder, unit, process, revision),
                )
            )
    for name, unit in alive.items():
        if name not in revision.digests:
            gone = Change(action="remove", name=name, type=_TYPE, id=f"pid {unit['pid']}")
            changes.append(gone)
    notes = []
    if any(one.action == "change" and one.name == "balancer" for one in changes):
        notes.append("The balancer itself changes: nothing answers for some seconds.")
    return Difference(
        where=f"processes of {folder.path.name} on this machine",
        changes=tuple(changes),
        new=not folder.exists(),
        notes=tuple(notes),
    )


def _fields(
    folder: RunFolder, unit: dict[str, Any], process: Process, revision: Revision
) -> tuple[str, ...]:
    """Which fields of the spec, and of the process, are other ones."""
    ours = process.as_dict()
    fields = [f"process.{key}" for key in ours if ours[key] != unit["process"].get(key)]
    try:
        before = folder.revision(unit["folder"].rpartition("/")[2])
        was = before.files[unit["process"]["spec"]]
    except (StoreError, KeyError):
        return tuple(fields)
    return (*_differing(yaml.safe_load(was), yaml.safe_load(revision.files[process.spec])), *fields)


def _differing(one: Any, other: Any, path: str = "") -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            below = f"{path}.{key}" if path else str(key)
            yield from _differing(one.get(key), other.get(key), below)
    elif one != other:
        yield path
