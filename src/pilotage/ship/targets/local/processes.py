"""The processes of a local deployment, as ``processes.json`` lists them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from pilotage.errors import StoreError

PROCESS_FILE: Final = "processes.json"
_SCHEMA: Final = "pilotage.processes/1"

Role = Literal["replica", "balancer"]
"""Replicas start before the balancer, and stop after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process.

    Attributes:
        name: Such as "replica-0".
        role: What it is for.
        spec: Its spec, a file beside the process file.
        argv: What runs, ``pilotage`` first; the spec by its file's name.
        address: Where it answers, without a path.
        health_path: Answers 200 once it answers requests.
        log: Name of its log file.
        grace_s: Seconds it may take until it is ready; then it is killed and started again.
        stop_s: Seconds from SIGTERM to SIGKILL: what is in flight is finished meanwhile.
        environment: Added to the environment that ``apply`` was called in.
    """

    name: str
    role: Role
    spec: str
    argv: tuple[str, ...]
    address: str
    health_path: str
    log: str
    grace_s: int
    stop_s: int
    environment: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return {**asdict(self), "argv": list(self.argv)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Process:
        """The reverse of `as_dict`."""
        return Process(**{**data, "argv": tuple(data["argv"])})


def write_processes(name: str, processes: tuple[Process, ...]) -> str:
    """The text of ``processes.json``, in the order in which they start."""
    data = {
        "schema": _SCHEMA,
        "name": name,
        "processes": [one.as_dict() for one in processes],
    }
    return json.dumps(data, indent=2) + "\n"


def parse_processes(text: str, where: str) -> tuple[Process, ...]:
    """The processes in the text of a process file.

    Raises:
        StoreError: It is none.
    """
    try:
        data = json.loads(text)
        schema = data["schema"]
        processes = tuple(Process.from_dict(one) for one in data["processes"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"is no list of processes: {error}", where=where, hint="Render it again"
        ) from None
    if schema != _SCHEMA:
        raise StoreError(f'has the schema "{schema}"', where=where, hint="Render it again")
    return processes


def digest_of(process: Process, spec: str) -> str:
    """What changes when the process must be started anew: its entry, or the text of its spec."""
    whole = json.dumps([process.as_dict(), spec], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Revision:
    """A process file and the specs beside it.

    Attributes:
        id: A digest over all of it.
        processes: In the order in which they start.
        digests: `digest_of` each, by name.
        files: All files' texts, by name.
    """

    id: str
    processes: tuple[Process, ...]
    digests: Mapping[str, str]
    files: Mapping[str, str]

    @staticmethod
    def of(files: Mapping[str, str]) -> Revision:
        """From the files that a target rendered.

        Raises:
            StoreError: There is no process file, or a spec that it names.
        """
        try:
            processes = parse_processes(files[PROCESS_FILE], PROCESS_FILE)
            digests = {one.name: digest_of(one, files[one.spec]) for one in processes}
        except KeyError as missing:
            raise StoreError(
                "the file is missing", where=str(missing.args[0]), hint="Render it again"
            ) from None
        whole = hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()
        return Revision(whole[:16], processes, digests, dict(files))

    @staticmethod
    def read(folder: Path) -> Revision:
        """From a folder of such files.

        Raises:
            StoreError: It cannot be read.
        """
        try:
            files = {
                path.name: path.read_text(encoding="utf-8")
                for path in sorted(folder.iterdir())
                if path.is_file()
            }
        except OSError as error:
            raise StoreError(
                f"cannot be read: {error.strerror}", where=str(folder), hint="Apply again"
            ) from None
        return Revision.of(files)
