"""Runs `pilotage` in the test's own process, where its imports are paid for once."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from pilotage.cli.main import main


def pilotage(
    *arguments: object,
    folder: Path | None = None,
    environment: Mapping[str, str | None] | None = None,
) -> CompletedProcess[str]:
    """The command as it ends as a process: its exit code and what it wrote to both streams.

    Args:
        arguments: What follows `pilotage` on the command line.
        folder: Where it runs; the test's own working folder if not given.
        environment: What is set beside the environment that the tests have; None takes away.
    """
    out, err = io.StringIO(), io.StringIO()
    words = ["pilotage", *map(str, arguments)]
    interrupt = signal.getsignal(signal.SIGINT)  # which `main` leaves ignored: its process ends
    try:
        with _logging_as_it_was(), pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder or os.curdir)
            for name, value in (environment or {}).items():
                if value is None:
                    patch.delenv(name, raising=False)
                else:
                    patch.setenv(name, value)
            patch.setattr(sys, "argv", words)
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                pytest.raises(SystemExit) as ended,
            ):
                main()
    finally:
        signal.signal(signal.SIGINT, interrupt)
    code = ended.value.code
    assert isinstance(code, int | None)
    return CompletedProcess(words, code or 0, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _logging_as_it_was() -> Iterator[None]:
    """A server says where its log goes, and which of it, for its whole process."""
    root, own = logging.getLogger(), logging.getLogger("pilotage")
    handlers, levels = list(root.handlers), (root.level, own.level)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        own.setLevel(levels[1])
