"""What a gateway leaves to the next one."""

from __future__ import annotations

from pathlib import Path

from pilotage.serve.control import AliasTarget
from pilotage.serve.models.saved_state import SavedState, StateFile

STATE = SavedState(loaded=(("a", 0), ("b", 1)), aliases={"chat": (AliasTarget("a", 0.9),)})


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state")
    assert file.read() is None
    file.write(STATE)
    assert StateFile(tmp_path / "state").read() == STATE
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_damaged_file_is_a_first_start(tmp_path: Path) -> None:
    (tmp_path / "state").write_text('{"loaded": 3}')
    assert StateFile(tmp_path / "state").read() is None


def test_a_folder_that_is_gone_fails_nobody(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "gone" / "state")
    file.write(STATE)
    assert file.read() is None
