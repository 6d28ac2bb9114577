"""A trace file's lines as text, one after another, with bounds on what a line may be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pilotage.errors import UsageError
from pilotage.units import printable

_MAX_LINE = 1 << 20
_EXPECTED = "Give a trace as an uncompressed CSV or JSONL file in UTF-8."


class TraceLines(Iterator[str]):
    """The lines of an open file, blank ones left out, and where reading stands.

    Args:
        file: Opened for bytes; it is read line by line, never whole.
        name: What errors call it.

    Attributes:
        number: The line that was given out last, counted from 1.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self.number = 0

    @property
    def where(self) -> str:
        """The last line as ``file:line``."""
        return f"{self._name}:{self.number}"

    def __next__(self) -> str:
        while True:
            text = self._read()
            if not text:
                raise StopIteration
            if not text.isspace():
                return text

    def _read(self) -> str:
        try:
            line = self._file.readline(_MAX_LINE + 1)
        except OSError as error:
            raise _unreadable(error, self._name) from error
        if not line:
            return ""
        self.number += 1
        if b"\0" in line:
            raise UsageError("is not text", where=self.where, hint=_EXPECTED)
        if len(line) > _MAX_LINE:
            raise UsageError(
                f"the line is longer than {_MAX_LINE // 1024:,} KiB",
                where=self.where,
                hint="Give one request a line.",
            )
        try:
            # Spreadsheets put a byte-order mark before the first line.
            return line.decode("utf-8-sig" if self.number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise UsageError("is not text", where=self.where, hint=_EXPECTED) from None


def open_trace(path: str | os.PathLike[str]) -> BinaryIO:
    """The file at ``path``, opened for bytes.

    Raises:
        UsageError: It cannot be opened.
    """
    name = printable(os.fspath(path))
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise _unreadable(error, name) from error
    except ValueError:
        raise UsageError("is not a path", where=name, hint=_EXPECTED) from None


def _unreadable(error: OSError, name: str) -> UsageError:
    reason = {
        FileNotFoundError: "there is no such file",
        IsADirectoryError: "is a folder, not a file",
        PermissionError: "may not be read",
    }.get(type(error), f"cannot be read ({error.strerror or error})")
    return UsageError(reason, where=name, hint=_EXPECTED)
