"""``report.json``: the report itself, written and read back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from pilotage.errors import UsageError
from pilotage.prove.report.files import write_file
from pilotage.prove.result import SCHEMA, Report
from pilotage.units import printable

_PLACE = re.compile(r"^(?P<problem>.*) - at `(?P<place>.*)`$", re.DOTALL)
_FAMILY = SCHEMA.partition("/")[0] + "/"


class _Version(msgspec.Struct):
    schema: str | None = None


def write_json(report: Report, path: Path) -> Path:
    """Write ``report`` for programs, indented for people.

    Raises:
        UsageError: The file cannot be written there.
    """
    return write_file(path, msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def read_report(path: Path) -> Report:
    """Read a report; fields that a newer Pilotage has added are left out.

    Raises:
        UsageError: The file is missing, is not JSON, is no report, is of another schema version,
            or holds a value of the wrong type; ``where`` names the file and the JSON path.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"the report cannot be read: {error.strerror or error}",
            where=str(path),
            hint="`pilotage prove` writes one as report.json.",
        ) from error
    try:
        version = msgspec.json.decode(data, type=_Version).schema
        if version != SCHEMA:
            raise _another_version(path, version)
        return msgspec.json.decode(data, type=Report)
    except msgspec.ValidationError as error:
        raise _wrong_type(path, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"this is not JSON: {printable(str(error))}",
            where=str(path),
            hint="Give the report.json that `pilotage prove` wrote.",
        ) from error


def report_schema() -> dict[str, Any]:
    """JSON Schema of ``report.json``."""
    return msgspec.json.schema(Report)


def _another_version(path: Path, version: str | None) -> UsageError:
    if version is None:
        problem, hint = "this is not a report: it has no schema", ""
    elif version.startswith(_FAMILY):
        problem = (
            f'the report has schema "{printable(version)}", and this Pilotage reads "{SCHEMA}"'
        )
        hint = "Read it with the Pilotage that wrote it, or run the test again."
    else:
        problem, hint = f'this is not a report: its schema is "{printable(version[:80])}"', ""
    return UsageError(
        problem,
        where=f"{path}, $.schema",
        hint=hint or "Give the report.json that `pilotage prove` wrote.",
    )


def _wrong_type(path: Path, message: str) -> UsageError:
    found = _PLACE.match(message)
    problem, place = (found["problem"], found["place"]) if found else (message, "$")
    return UsageError(
        f"the report is damaged: {printable(problem).replace('Expected', 'expected', 1)}",
        where=f"{path}, {place}",
        hint="Give the report.json as `pilotage prove` wrote it.",
    )
