"""The file is written whole, and nobody else's is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotage.errors import StoreError, UsageError
from pilotage.ship.pipeline import write_workflow


def test_it_is_written_once_and_anew_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / ".github" / "workflows" / "receipts.yml"
    assert write_workflow(file, "name: one\n")
    assert not write_workflow(file, "name: one\n")
    assert write_workflow(file, "name: two\n")
    assert file.read_text().startswith("# Written by `pilotage ship pipeline`")
    assert file.read_text().endswith("name: two\n")
    assert [one.name for one in file.parent.iterdir()] == ["receipts.yml"]


def test_what_was_edited_is_left_alone_unless_forced(tmp_path: Path) -> None:
    file = tmp_path / "receipts.yml"
    write_workflow(file, "name: one\n")
    edited = file.read_text() + "# by hand\n"
    file.write_text(edited)
    with pytest.raises(UsageError, match="was edited since") as caught:
        write_workflow(file, "name: two\n")
    assert "--force" in str(caught.value.hint)
    assert file.read_text() == edited
    assert write_workflow(file, "name: two\n", force=True)
    assert "by hand" not in file.read_text()


@pytest.mark.parametrize("content", [b"", b"name: theirs\n", b"\xff\xfe"])
def test_what_others_wrote_is_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "receipts.yml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="was not written by this command"):
        write_workflow(file, "name: one\n")
    assert file.read_bytes() == content


def test_a_folder_is_no_file_even_with_force(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no file"):
        write_workflow(tmp_path, "name: one\n", force=True)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_workflow(tmp_path / "file" / "receipts.yml", "name: one\n")
