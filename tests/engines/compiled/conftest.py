"""Tiny encoders as fixtures."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from tiny_encoders import make_onnx, make_tiny  # noqa: E402


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Path]:
    """Makes the folder of a tiny BERT for a task."""
    return lambda task="embed": make_tiny(tmp_path / f"tiny-{task}", task)


@pytest.fixture
def onnx_folder(tmp_path: Path) -> Path:
    """An ONNX model that looks token vectors up in a table: the smallest encoder there is."""
    return make_onnx(tmp_path / "exported")
