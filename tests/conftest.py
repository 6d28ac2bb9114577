"""Fixtures that several rooms share."""

from pathlib import Path

import pytest
from hypothesis import settings

from pilotage.fetch import fetch
from pilotage.spec.model import EMBEDDED_SHA256, EMBEDDED_SOURCE

# Machines are shared and slow at times: a time bound on an example says nothing of the code.
settings.register_profile("pilotage", deadline=None)
settings.load_profile("pilotage")


@pytest.fixture(scope="session")
def embedded_model() -> Path:
    """The GGUF file of the embedded default model, from Pilotage's cache once it is there."""
    return fetch(EMBEDDED_SOURCE, sha256=EMBEDDED_SHA256).path
