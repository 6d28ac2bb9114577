from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pilotage.errors import ResourceError, StoreError
from pilotage.fetch import FileEntry, Manifest, Store, default_home
from pilotage.fetch.disk import disk_errors, require_room

SOURCE = "pypi://tiny==1.0/tiny/model.gguf"
MODEL = b"GGUF" + bytes(range(256)) * 40
SHA256 = hashlib.sha256(MODEL).hexdigest()

# Every process publishes every model at once with the others; one in three is damaged in between.
RACE = """
import hashlib, os, sys
from pathlib import Path
from pilotage.fetch import FileEntry, Manifest, Store
store = Store(Path(sys.argv[1]))
sys.stdin.readline()
for number in range(30):
    source, content = f"pypi://m=={number}/f", os.urandom(20) * 500
    with store.stage(source) as staging:
        (staging.files / "f").write_bytes(content)
        file = FileEntry("f", len(content), hashlib.sha256(content).hexdigest())
        revision = store.publish(staging, Manifest(source, str(number), (file,)))
    found = hashlib.sha256((revision.files / "f").read_bytes()).hexdigest()
    assert found == revision.manifest.files[0].sha256, number
"""


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


def put(store, source=SOURCE, content=MODEL):
    digest = hashlib.sha256(content).hexdigest()
    with store.stage(source) as staging:
        (staging.files / "sub").mkdir()
        (staging.files / "sub" / "model").write_bytes(content)
        (staging.scratch / "leftover").write_bytes(b"x")
        file = FileEntry("sub/model", len(content), digest)
        return store.publish(staging, Manifest(source, "1", (file,)))


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_published_is_opened_and_nothing_else_is_left(store):
    published = put(store)
    assert store.open(SOURCE) == published
    assert (published.files / "sub" / "model").read_bytes() == MODEL
    assert listed(published.files.parent) == ["READY", "files"]
    assert listed(store.home / "staging") == []
    assert store.open("pypi://other==1/f") is None


def test_opening_writes_nothing(store):
    assert store.open(SOURCE) is None
    assert not store.home.exists()


def test_sources_with_alike_names_do_not_meet(store):
    one = put(store, "pypi://a==1/b c", b"1")
    two = put(store, "pypi://a==1/b+c", b"2")
    assert one.files != two.files
    assert (one.files / "sub/model").read_bytes() + (two.files / "sub/model").read_bytes() == b"12"


@pytest.mark.parametrize(
    "damage",
    [
        lambda model, marker: model.write_bytes(MODEL[:-1]),
        lambda model, marker: model.write_bytes(bytes(len(MODEL))),
        lambda model, marker: model.unlink(),
        lambda model, marker: marker.unlink(),
        lambda model, marker: marker.write_text("{"),
        lambda model, marker: marker.write_text('{"format": 1, "manifest": {}, "stat": {}}'),
        lambda model, marker: marker.write_text(marker.read_text().replace("sub/", "../")),
        lambda model, marker: marker.write_text(
            marker.read_text().replace('"format": 1', '"f": 9')
        ),
    ],
)
def test_a_damaged_revision_is_absent_and_is_replaced(store, damage):
    files = put(store).files
    damage(files / "sub" / "model", files.parent / "READY")
    assert store.open(SOURCE) is None
    assert put(store).files == files
    assert (store.open(SOURCE).files / "sub" / "model").read_bytes() == MODEL
    assert len(listed(store.home / "models")) == 1
    assert listed(store.home / "staging") == []


def test_a_copied_cache_is_hashed_again_and_not_refused(store):
    model = put(store).files / "sub" / "model"
    os.utime(model, (1, 1))
    heard = []
    assert store.open(SOURCE, progress=heard.append) is not None
    assert heard[-1].done == len(MODEL)


def test_only_verify_sees_bytes_that_changed_behind_unchanged_times(store):
    model = put(store).files / "sub" / "model"
    times = model.stat()
    model.write_bytes(bytes(len(MODEL)))
    os.utime(model, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert store.open(SOURCE) is not None
    assert store.open(SOURCE, verify=True) is None
    put(store)
    assert model.read_bytes() == MODEL


def test_the_first_of_two_publishers_wins_and_the_second_uses_its_model(store):
    with store.stage(SOURCE) as staging:
        (staging.files / "sub").mkdir()
        (staging.files / "sub" / "model").write_bytes(b"late")
        first = put(store)
        file = FileEntry("sub/model", 4, hashlib.sha256(b"late").hexdigest())
        assert store.publish(staging, Manifest(SOURCE, "1", (file,))) == first
    assert listed(store.home / "staging") == []


def test_four_processes_publishing_the_same_models_at_once(store):
    children = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(store.home)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    ends = [process.communicate("go\n", timeout=60)[1] for process in children]
    assert [process.returncode for process in children] == [0] * 4, ends
    assert len(listed(store.home / "models")) == 30
    assert listed(store.home / "staging") == []
    assert all(store.open(f"pypi://m=={n}/f", verify=True) for n in range(30))


def test_only_staging_folders_untouched_for_a_day_are_cleared_away(store):
    put(store)
    old, young, growing = (store.home / "staging" / name for name in ("old", "young", "growing"))
    yesterday = time.time() - 25 * 3600
    for folder in (old, young, growing):
        (folder / "scratch").mkdir(parents=True)
    (growing / "scratch" / "wheel").write_bytes(b"x")  # written just now
    for folder in (old, growing):
        for path in (folder / "scratch", folder):
            os.utime(path, (yesterday, yesterday))
    put(store, "pypi://b==1/f")
    assert listed(store.home / "staging") == ["growing", "young"]


def test_a_failure_inside_the_staging_folder_removes_it(store):
    with pytest.raises(KeyboardInterrupt), store.stage(SOURCE) as staging:
        (staging.files / "half").write_bytes(b"x")
        raise KeyboardInterrupt
    assert listed(store.home / "staging") == listed(store.home / "models") == []


def test_a_disk_that_fills_midway_publishes_nothing(small_disk):
    store = Store(small_disk)
    with (
        pytest.raises(ResourceError, match=r"disk became full.*bytes are free") as error,
        store.stage(SOURCE) as staging,
    ):
        (staging.files / "model").write_bytes(bytes(3_000_000))
    assert error.value.where == str(small_disk)
    assert listed(small_disk / "staging") == listed(small_disk / "models") == []


def test_not_enough_disk_is_refused_with_both_numbers(small_disk):
    with pytest.raises(ResourceError, match=r"3,000,000 bytes are needed, 1,048,576 are free"):
        require_room(small_disk, 3_000_000)
    require_room(small_disk, 1_000_000)


def test_a_read_only_cache_serves_what_it_holds_and_says_what_it_cannot_do(small_disk):
    store = Store(small_disk)
    published = put(store)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert store.open(SOURCE) == published
    with pytest.raises(StoreError, match="read-only filesystem") as error:
        put(store, "pypi://b==1/f")
    assert "PILOTAGE_HOME" in str(error.value)


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_home_that_is_a_file_is_one_clear_line(tmp_path, below):
    (tmp_path / "file").write_text("x")
    store = Store(tmp_path / "file" / below)
    with pytest.raises(StoreError, match="leads through a file") as error:
        store.open(SOURCE)
    with pytest.raises(StoreError, match="leads through a file"):
        put(store)
    assert "\n" not in str(error.value)


def test_a_closed_terminal_is_not_taken_for_a_bad_disk(tmp_path):
    with pytest.raises(BrokenPipeError), disk_errors(tmp_path):
        raise BrokenPipeError


def test_the_cache_lies_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("PILOTAGE_HOME", str(tmp_path / "a"))
    assert default_home() == tmp_path / "a"
    monkeypatch.setenv("PILOTAGE_HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert default_home() == tmp_path / "b" / "pilotage"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_home() == Path(tmp_path, ".cache", "pilotage")
