"""Rendered files in a folder: whole, and never over somebody else's."""

from pathlib import Path

import pytest

from pilotage.errors import UsageError
from pilotage.ship.lifecycle.folder import LIST, write_folder


def test_a_render_replaces_its_own_files_and_drops_those_it_no_longer_makes(
    tmp_path: Path,
) -> None:
    write_folder(tmp_path, {"a.yaml": "1", "deep/b.sh": "#!/bin/sh\n"}, deployment="x")
    assert (tmp_path / "deep/b.sh").stat().st_mode & 0o111
    assert write_folder(tmp_path, {"a.yaml": "2"}, deployment="x") == (tmp_path / "a.yaml",)
    assert (tmp_path / "a.yaml").read_text() == "2"
    assert not (tmp_path / "deep/b.sh").exists()
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("kind", ["theirs", "edited", "link", "folder"])
def test_what_it_did_not_write_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    if kind == "edited":
        write_folder(tmp_path, {"a.yaml": "1", "b.yaml": "1"}, deployment="x")
    path = tmp_path / "b.yaml"
    match kind:
        case "link":
            (tmp_path / "elsewhere").write_text("theirs")
            path.symlink_to(tmp_path / "elsewhere")
        case "folder":
            path.mkdir()
        case _:
            path.write_text("theirs")
    with pytest.raises(UsageError, match="is not overwritten"):
        write_folder(tmp_path, {"a.yaml": "2", "b.yaml": "2"}, deployment="x")
    assert not (tmp_path / "a.yaml").exists() or (tmp_path / "a.yaml").read_text() == "1"
    if kind != "folder":
        assert path.read_text() == "theirs"


def test_a_folder_of_another_deployment_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a.yaml": "1"}, deployment="x")
    with pytest.raises(UsageError, match='deployment "x"'):
        write_folder(tmp_path, {"a.yaml": "2"}, deployment="y")


def test_a_render_that_was_killed_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, {"a": "1", "b": "1", "gone": "1"}, deployment="x")
    replace, left = Path.replace, [0]

    def killed(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return replace(self, target)

    for kill_at in range(1, 5):
        left[0] = kill_at
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(Path, "replace", killed)
            write_folder(tmp_path, {"a": "2", "b": "2"}, deployment="x")
        assert {(tmp_path / name).read_text() for name in ("a", "b")} <= {"1", "2"}
        write_folder(tmp_path, {"a": "1", "b": "1", "gone": "1"}, deployment="x")
    write_folder(tmp_path, {"a": "2", "b": "2"}, deployment="x")
    assert sorted(one.name for one in tmp_path.iterdir()) == [LIST, "a", "b"]


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", LIST])
def test_paths_stay_within_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no path within"):
        write_folder(tmp_path, {name: "x"}, deployment="x")
