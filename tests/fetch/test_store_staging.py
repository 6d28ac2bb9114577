"""What an attempt leaves behind, and who may go on with it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pilotage.errors import IntegrityError, ResourceError, SourceError
from pilotage.fetch import FileEntry, Manifest, Store
from pilotage.fetch.origin import ChangedError
from pilotage.fetch.store import Timing
from pilotage.fetch.store.copying import allocated, copy
from pilotage.fetch.store.names import folder_name
from pilotage.fetch.store.owner import Owner, parse_owned

SOURCE = "hf://org/model@1"
NAME = folder_name(SOURCE)
FAR = Owner("0123456789ab", 7, 7)

STAGE_AND_WAIT = """
import sys
from pathlib import Path
from pilotage.fetch import Store
with Store(Path(sys.argv[1])).stage(sys.argv[2], resume=True) as staging:
    (staging.files / "w").write_bytes(b"first half")
    (staging.scratch / "journal").write_text("10")
    print(staging.root, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home", timing=Timing(beat_s=0.05))


def fail(store, error=SourceError, files=("w",), source=SOURCE):
    """An attempt that wrote `files` and then failed."""
    with pytest.raises(error), store.stage(source, resume=True) as staging:
        for name in files:
            (staging.files / name).write_bytes(b"first half")
        (staging.scratch / "journal").write_text("10")
        raise error("broken off")


def left_by(store, owner, *, silent_s=3600.0, content=b"first half", files=("w",)):
    """A staging folder as a process of `owner` leaves it."""
    folder = store.area.folder / f"{NAME}~{owner}~{os.urandom(4).hex()}"
    (folder / "revision" / "files").mkdir(parents=True)
    (folder / "scratch").mkdir()
    (folder / "scratch" / "journal").write_text("10")
    for name in files:
        (folder / "revision" / "files" / name).write_bytes(content)
    (folder / "heartbeat").touch()
    then = time.time() - silent_s
    os.utime(folder / "heartbeat", (then, then))
    return folder


def names(store):
    return [left.path for left in store.area.leftovers()]


def test_what_a_failed_attempt_left_is_gone_on_with(store):
    fail(store)
    (left,) = store.area.leftovers()
    assert left.is_free
    with store.stage(SOURCE, resume=True) as staging:
        assert staging.resumed
        assert not left.path.exists(), "it is the same folder under a new owner's name"
        assert parse_owned(staging.root.name)[1] == Owner.me()
        assert (staging.scratch / "journal").read_text() == "10"
        (staging.files / "w").write_bytes(b"first half and second")
        digest = hashlib.sha256(b"first half and second").hexdigest()
        store.publish(staging, Manifest(SOURCE, "1", (FileEntry("w", 21, digest),)))
    assert names(store) == []
    assert store.open(SOURCE, verify=True)


def test_another_revision_s_leftovers_are_not_touched(store):
    fail(store, source="hf://org/other@1")
    with store.stage(SOURCE, resume=True) as staging:
        assert not staging.resumed
    assert [left.name for left in store.area.leftovers()] == [folder_name("hf://org/other@1")]


def test_a_killed_process_is_succeeded_at_once_and_a_living_one_is_not(store):
    with subprocess.Popen(
        [sys.executable, "-c", STAGE_AND_WAIT, str(store.home), SOURCE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        root = process.stdout.readline().strip()
        with store.stage(SOURCE, resume=True) as staging:
            assert not staging.resumed
        process.kill()
        process.stdin.close()
    with store.stage(SOURCE, resume=True) as staging:
        assert staging.resumed
        assert (staging.files / "w").read_bytes() == b"first half"
        assert str(staging.root) != root


def test_a_process_whose_parent_never_noticed_its_end_is_dead_too(store):
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE_AND_WAIT, str(store.home), SOURCE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        process.stdout.readline()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie, not yet reaped
        with store.stage(SOURCE, resume=True) as staging:
            assert staging.resumed
        process.stdin.close()


def test_a_process_id_that_was_given_anew_is_another_process(store):
    me = Owner.me()
    left_by(store, Owner(me.place, me.pid, me.start - 1))
    with store.stage(SOURCE, resume=True) as staging:
        assert staging.resumed


def test_of_many_successors_one_gets_the_folder_and_nobody_shares(store):
    fail(store)
    barrier, resumed, roots = threading.Barrier(8), [], []

    def succeed(_):
        barrier.wait()
        with store.stage(SOURCE, resume=True) as staging:
            resumed.append(staging.resumed)
            roots.append(staging.root)
            barrier.wait()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(succeed, range(8)))
    assert sum(resumed) == 1
    assert len(set(roots)) == 8


def test_the_fullest_of_several_leftovers_is_taken(store):
    left_by(store, "free", content=b"x" * 10_000)
    left_by(store, "free", content=b"x" * 100_000)
    left_by(store, "free", content=b"x" * 30_000)
    with store.stage(SOURCE, resume=True) as staging:
        assert (staging.files / "w").stat().st_size == 100_000


def test_from_a_silent_process_elsewhere_is_copied_and_nothing_is_taken(store):
    """It may only be frozen: what it writes when it wakes must not reach our files."""
    folder = left_by(store, FAR, files=("w", "sub"))
    with (
        (folder / "revision" / "files" / "w").open("r+b") as still_open,
        store.stage(SOURCE, resume=True) as staging,
    ):
        assert staging.resumed
        still_open.write(b"GARBAGE IN THE SAME FILE")
        still_open.flush()
        assert (staging.files / "w").read_bytes() == b"first half"
        assert (staging.scratch / "journal").read_text() == "10"
        assert not (staging.root / "incoming").exists()
    assert names(store) == [folder]


def test_from_one_elsewhere_that_shows_life_nothing_is_copied(store):
    folder = left_by(store, FAR, silent_s=0)
    with store.stage(SOURCE, resume=True) as staging:
        assert not staging.resumed
    assert names(store) == [folder]


def test_a_copy_that_was_broken_off_is_not_taken_for_a_whole_one(store):
    folder = left_by(store, "free")
    (folder / "incoming" / "scratch").mkdir(parents=True)
    (folder / "incoming" / "scratch" / "journal").write_text("99")
    with store.stage(SOURCE, resume=True) as staging:
        assert not (staging.root / "incoming").exists()
        assert (staging.scratch / "journal").read_text() == "10"


@pytest.mark.parametrize(
    ("sizes", "silent_s", "resumed"),
    [
        ((300_000, 300_000), 3600, True),  # there is room for a file, though not for both
        ((700_000,), 3600, False),  # there is not even that: the old folder makes room
        ((300_000, 300_000), 30, False),  # its owner may only be slow
    ],
)
def test_where_there_is_no_room_for_a_copy_the_old_folder_is_emptied(
    small_disk, sizes, silent_s, resumed
):
    store = Store(small_disk, timing=Timing(beat_s=0.05))
    contents = [os.urandom(size) for size in sizes]
    folder = left_by(store, FAR, silent_s=silent_s, files=())
    for number, content in enumerate(contents):
        (folder / "revision" / "files" / str(number)).write_bytes(content)
    with store.stage(SOURCE, resume=True) as staging:
        assert staging.resumed == resumed
        assert sorted(path.read_bytes() for path in staging.files.iterdir()) == (
            sorted(contents) if resumed else []
        )
        assert [path.name for path in staging.scratch.iterdir()] == ["journal"] * resumed
        assert names(store) == [staging.root] if silent_s > 60 else sorted([folder, staging.root])


def test_a_successor_can_write_but_not_into_a_file_that_others_share(store):
    folder = left_by(store, "free", files=("own", "shared"))
    files = folder / "revision" / "files"
    (store.home / "blob").hardlink_to(files / "shared")
    (files / "own").chmod(0o444)
    (folder / "revision" / "READY").write_text("{}")
    with store.stage(SOURCE, resume=True) as staging:
        assert [path.name for path in staging.files.iterdir()] == ["own"]
        assert (staging.files / "own").stat().st_mode & 0o200
        assert not (staging.files.parent / "READY").exists()
    assert (store.home / "blob").read_bytes() == b"first half"


@pytest.mark.parametrize(
    ("error", "files", "kept"),
    [
        (SourceError, ("a",), True),
        (KeyboardInterrupt, ("a",), True),
        (SourceError, (), False),
        (ChangedError, ("a", "b"), False),
        (IntegrityError, ("a",), False),
        (IntegrityError, ("a", "b"), True),
    ],
)
def test_only_what_can_be_gone_on_with_is_kept(store, error, files, kept):
    fail(store, error, files)
    assert [left.may_be_taken for left in store.area.leftovers()] == [True] * kept


def test_a_full_disk_keeps_what_arrived(small_disk):
    store = Store(small_disk)
    with (
        pytest.raises(ResourceError, match="fetching again goes on from here"),
        store.stage(SOURCE, resume=True) as staging,
    ):
        (staging.files / "a").write_bytes(bytes(500_000))
        (staging.files / "b").write_bytes(bytes(3_000_000))
    with store.stage(SOURCE, resume=True) as staging:
        assert (staging.files / "a").stat().st_size == 500_000


def test_a_source_that_cannot_resume_gets_an_empty_folder_and_leaves_none(store):
    fail(store)
    with pytest.raises(SourceError), store.stage(SOURCE) as staging:
        assert not staging.resumed
        assert list(staging.files.iterdir()) == []
        (staging.files / "w").write_bytes(b"x")
        raise SourceError("no")
    assert names(store) == []


def test_old_leftovers_go_by_age_unless_their_process_lives(store):
    gone, far, live = (
        left_by(store, "free"),
        left_by(store, FAR),
        left_by(store, Owner.me()),
    )
    before = time.time() - 25 * 3600
    for folder in (far, live):
        for path in (*folder.rglob("*"), folder):
            os.utime(path, (before, before))
    with store.stage("hf://org/other@1", resume=True):
        assert sorted(path for path in names(store) if NAME in path.name) == sorted([gone, live])


def test_rubbish_of_a_process_that_died_while_deleting_is_removed(store):
    me = Owner.me()
    rubbish = store.area.folder / f"trash~{Owner(me.place, me.pid, me.start - 1)}~00"
    rubbish.mkdir(parents=True)
    with store.stage(SOURCE):
        assert not rubbish.exists()


def test_what_is_no_file_of_the_revision_is_not_published(store):
    with store.stage(SOURCE) as staging:
        for name in ("w", "w.part", "sub/deep/old"):
            (staging.files / name).parent.mkdir(parents=True, exist_ok=True)
            (staging.files / name).write_bytes(b"x")
        (staging.files / "link").symlink_to("/etc/passwd")
        digest = hashlib.sha256(b"x").hexdigest()
        revision = store.publish(staging, Manifest(SOURCE, "1", (FileEntry("w", 1, digest),)))
    assert [path.name for path in revision.files.rglob("*")] == ["w"]


@pytest.mark.parametrize("text", ["", "x", "a-1", "a-b-c", "A-1-1", "a-1-1-1", "a-1-1\n", "-1-1"])
def test_what_is_no_owner_is_nobody(text):
    assert Owner.parse(text) is None


def test_an_owner_reads_back_and_only_the_provable_is_dead():
    me = Owner.me()
    assert Owner.parse(str(me)) == me
    assert me.is_here
    assert not me.is_dead
    assert not Owner("unknown", 1, 1).is_here
    assert not FAR.is_dead
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert Owner(me.place, process.pid, me.start).is_dead


@pytest.mark.parametrize("reflinks", [True, False])
def test_a_copy_keeps_holes_and_is_a_file_of_its_own(tmp_path, monkeypatch, reflinks):
    if not reflinks:
        monkeypatch.setattr("pilotage.fetch.store.copying.reflink", lambda a, b: False)
    source, target = tmp_path / "a", tmp_path / "b"
    with source.open("wb") as file:
        file.seek(10 << 20)
        file.write(b"middle")
        file.truncate(30 << 20)
    copy(source, target)
    assert hashlib.sha256(target.read_bytes()).digest() == (
        hashlib.sha256(source.read_bytes()).digest()
    )
    assert allocated(target) == allocated(source) < 1 << 20
    source.write_bytes(b"")
    assert target.stat().st_size == 30 << 20
