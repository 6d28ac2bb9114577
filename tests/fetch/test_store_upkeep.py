"""list, verify, pin and prune, down to what is on the disk."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.errors import StoreError, UsageError
from pilotage.fetch import Cache, FileEntry, Limits, Manifest, Store
from pilotage.fetch.store.owner import Owner

USE_AND_WAIT = """
import sys
from pathlib import Path
from pilotage.fetch import Store
with Store(Path(sys.argv[1])).in_use(sys.argv[2]):
    print("in use", flush=True)
    sys.stdin.read()
"""
BIG, SMALL = os.urandom(200_000), os.urandom(50_000)
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where flushing costs nothing
DAY = 24 * 3600.0


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


@pytest.fixture
def cache(store):
    return Cache(store)


def put(store, source, *contents, used_before=0.0):
    files = []
    with store.stage(source) as staging:
        for number, data in enumerate(contents):
            (staging.files / str(number)).write_bytes(data)
            files.append(FileEntry(str(number), len(data), hashlib.sha256(data).hexdigest()))
        store.publish(staging, Manifest(source, "1", tuple(files)))
    then = time.time() - used_before
    os.utime(store.folder(source) / "READY", (then, then))
    return store.folder(source).name


def sources(cache):
    return [one.source for one in cache.revisions()]


def damage(path):
    times = path.stat()
    path.write_bytes(bytes(times.st_size))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_an_empty_cache_has_nothing_and_is_not_made(cache, store):
    assert cache.revisions() == cache.unfinished() == cache.verify() == []
    assert cache.prune(Limits(keep_free=1, max_size=0), dry_run=True).revisions == ()
    assert not store.home.exists()


def test_the_list_says_what_is_there_and_what_is_shared(cache, store):
    put(store, "hf://a@1", BIG, SMALL, used_before=3 * DAY)
    put(store, "hf://a@2", BIG)
    new, old = cache.revisions()
    assert (old.source, old.id, old.size, old.shared) == ("hf://a@1", "1", 250_000, 200_000)
    assert (new.source, new.size, new.shared) == ("hf://a@2", 200_000, 200_000)
    assert new.last_used > old.last_used
    assert not (new.pinned or new.in_use)
    assert new.path == store.folder("hf://a@2")


def test_opening_is_noted_as_use(cache, store):
    put(store, "hf://a@1", SMALL, used_before=3 * DAY)
    before = cache.revisions()[0].last_used
    store.mark_used("hf://a@1")
    assert cache.revisions()[0].last_used > before + 2 * DAY


def test_downloads_that_are_going_on_or_broken_off_are_listed(cache, store):
    with store.stage("hf://a@1", resume=True) as staging:
        (staging.files / "w").write_bytes(SMALL)
        (one,) = cache.unfinished()
        assert (one.name, one.abandoned) == (store.folder("hf://a@1").name, False)
        assert one.size >= len(SMALL)
        store.area.release(staging)
        (one,) = cache.unfinished()
        assert one.abandoned


def test_verify_finds_what_nothing_else_sees_and_moves_it_away(cache, store):
    put(store, "hf://a@1", BIG, SMALL)
    put(store, "hf://a@2", BIG)
    put(store, "hf://b@1", SMALL)
    damage(store.folder("hf://a@1") / "files" / "0")
    assert store.open("hf://a@1"), "size and time are as they were"
    results = {one.name: one for one in cache.verify()}
    one, two, other = (
        results[store.folder(source).name] for source in ("hf://a@1", "hf://a@2", "hf://b@1")
    )
    assert (one.damaged, two.damaged, other.damaged) == (("0",), ("0",), ())
    assert one.quarantined.is_dir()
    assert other.quarantined is None
    assert sources(cache) == ["hf://b@1"]
    assert all(path.read_bytes() == SMALL for path in store.blobs)
    assert len(list((store.home / "quarantine").iterdir())) == 3
    assert [one.damaged for one in cache.verify()] == [()]
    cache.prune()
    assert list((store.home / "quarantine").iterdir()) == []


def test_verify_sees_a_file_that_is_gone(cache, store):
    put(store, "hf://a@1", BIG, SMALL)
    (store.folder("hf://a@1") / "files" / "1").unlink()
    (one,) = cache.verify()
    assert one.damaged == ("1",)


def test_prune_without_limits_removes_no_model(cache, store):
    put(store, "hf://a@1", BIG, used_before=999 * DAY)
    put(store, "hf://gone", SMALL)
    orphan = store.blobs.path(hashlib.sha256(SMALL).hexdigest())
    for path in sorted(store.folder("hf://gone").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    store.folder("hf://gone").rmdir()
    would = cache.prune(dry_run=True)
    assert orphan.exists()
    did = cache.prune()
    assert would == did
    assert (did.revisions, did.leftovers, did.met) == ((), (orphan,), True)
    assert len(SMALL) <= did.freed < 2 * len(SMALL)
    assert not orphan.exists()
    assert sources(cache) == ["hf://a@1"]


def test_the_longest_unused_goes_first_and_shared_bytes_count_once(cache, store):
    put(store, "hf://old@1", BIG, used_before=3 * DAY)
    put(store, "hf://old@2", BIG, SMALL, used_before=2 * DAY)
    put(store, "hf://new", os.urandom(100_000), used_before=DAY)
    limit = Limits(max_size=260_000)
    would = cache.prune(limit, dry_run=True)
    # Removing @1 alone frees nothing: its bytes are @2's too.
    assert would.revisions == (store.folder("hf://old@1").name, store.folder("hf://old@2").name)
    assert len(sources(cache)) == 3
    done = cache.prune(limit)
    assert done == would
    assert 250_000 <= done.freed < 270_000
    assert sources(cache) == ["hf://new"]
    assert [path.stat().st_size for path in store.blobs] == [100_000]


def test_what_is_old_goes_and_what_is_pinned_or_in_use_stays(cache, store):
    for name in ("old", "pinned", "used", "new"):
        put(store, f"hf://{name}@1", os.urandom(1000), used_before=0 if name == "new" else 40 * DAY)
    cache.pin("hf://pinned@1")
    with store.in_use("hf://used@1"):
        assert {one.source: (one.pinned, one.in_use) for one in cache.revisions()} == {
            "hf://old@1": (False, False),
            "hf://pinned@1": (True, False),
            "hf://used@1": (False, True),
            "hf://new@1": (False, False),
        }
        done = cache.prune(Limits(older_than=30 * DAY, max_size=0))
        assert not done.met
        assert sorted(sources(cache)) == ["hf://pinned@1", "hf://used@1"]
    cache.unpin(store.folder("hf://pinned@1").name)
    assert cache.prune(Limits(max_size=0)).met
    assert sources(cache) == []


def test_a_full_disk_is_made_room_on(small_disk):
    store = Store(small_disk)
    for number in range(3):
        put(store, f"hf://m@{number}", os.urandom(200_000), used_before=(9 - number) * DAY)
    with pytest.raises(KeyboardInterrupt), store.stage("hf://n", resume=True) as staging:
        (staging.files / "w").write_bytes(bytes(150_000))
        raise KeyboardInterrupt
    done = Cache(store).prune(Limits(keep_free=500_000))
    assert done.met
    assert os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize >= 500_000
    assert len(done.leftovers) == 1, "a broken-off download goes before a model does"
    assert done.revisions == (store.folder("hf://m@0").name,)


def test_a_process_that_dies_uses_nothing_any_more(cache, store):
    put(store, "hf://a@1", SMALL)
    with subprocess.Popen(
        [sys.executable, "-c", USE_AND_WAIT, str(store.home), "hf://a@1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "in use\n"
        assert cache.prune(Limits(max_size=0)).revisions == ()
        process.kill()
        process.stdin.close()
    assert not cache.revisions()[0].in_use
    assert list((store.home / "uses").iterdir()) == []
    assert len(cache.prune(Limits(max_size=0)).revisions) == 1


@pytest.mark.parametrize(("silent_s", "in_use"), [(60, True), (3600, False)])
def test_a_use_on_another_machine_counts_while_it_shows_life(cache, store, silent_s, in_use):
    name = put(store, "hf://a@1", SMALL)
    (store.home / "uses").mkdir()
    mark = store.home / "uses" / f"{name}~{Owner('0123456789ab', 1, 1)}~00"
    mark.touch()
    os.utime(mark, (time.time() - silent_s,) * 2)
    assert cache.revisions()[0].in_use == in_use


def test_a_model_that_comes_into_use_while_it_is_pruned_is_put_back(cache, store, monkeypatch):
    name = put(store, "hf://a@1", SMALL)
    looks = iter([set(), {name}])
    monkeypatch.setattr(store.pins, "in_use", lambda: next(looks))
    assert cache.prune(Limits(max_size=0)).revisions == ()
    assert store.open("hf://a@1", verify=True)


def test_using_what_was_pruned_a_moment_ago_says_so(store):
    with pytest.raises(StoreError, match="removed from the cache"), store.in_use("hf://a@1"):
        pass


def test_a_read_only_cache_is_listed_and_used(small_disk):
    store = Store(small_disk)
    put(store, "hf://a@1", SMALL)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    cache = Cache(store)
    store.mark_used("hf://a@1")
    with store.in_use("hf://a@1"):
        assert sources(cache) == ["hf://a@1"]
    assert [one.damaged for one in cache.verify()] == [()]
    with pytest.raises(StoreError, match="read-only"):
        cache.pin("hf://a@1")


def test_names_may_be_short_but_must_be_clear(cache, store):
    put(store, "hf://org/alpha@1", SMALL)
    put(store, "hf://org/alpha@2", SMALL)
    full = put(store, "hf://org/beta@1", SMALL)
    assert cache.pin("org-beta").name == full
    assert cache.pin(full).pinned
    with pytest.raises(UsageError, match="names several revisions") as error:
        cache.pin("org-alpha")
    assert "org-alpha-1" in str(error.value)
    for wrong in ("nothing", "", "../../etc"):
        with pytest.raises(UsageError, match="is no revision"):
            cache.pin(wrong)
    assert not cache.unpin("org-beta").pinned
    assert not cache.unpin("org-beta").pinned


@settings(max_examples=25)
@given(
    models=st.lists(
        st.tuples(
            st.sets(st.integers(0, 5), min_size=1, max_size=4),  # which files it has
            st.integers(0, 50),  # days since its last use
            st.booleans(),  # pinned
        ),
        min_size=1,
        max_size=6,
    ),
    max_size=st.none() | st.integers(0, 150_000),
    older_than=st.none() | st.integers(0, 50),
)
def test_pruning_any_cache_leaves_it_whole(models, max_size, older_than):
    contents = [bytes([number]) * 4096 * (number + 1) for number in range(6)]
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        store = Store(Path(folder) / "home")
        cache = Cache(store)
        for number, (files, days, pinned) in enumerate(models):
            put(store, f"hf://m@{number}", *(contents[n] for n in files), used_before=days * DAY)
            if pinned:
                cache.pin(f"hf://m@{number}")
        limits = Limits(
            max_size=max_size, older_than=None if older_than is None else older_than * DAY + 60
        )
        before = cache.revisions()
        would = cache.prune(limits, dry_run=True)
        assert cache.revisions() == before
        done = cache.prune(limits)
        left = cache.revisions()

        assert done == would
        assert {one.name for one in before} == {one.name for one in left} | set(done.revisions)
        assert {one.name for one in before if one.pinned} <= {one.name for one in left}
        assert all(not one.damaged for one in cache.verify())
        wanted = {n for number, (files, *_) in enumerate(models) for n in files
                  if f"hf://m@{number}" in {one.source for one in left}}  # fmt: skip
        assert sorted(path.stat().st_size for path in store.blobs) == sorted(
            len(contents[n]) for n in wanted
        )
        size = sum(len(contents[n]) for n in wanted)
        assert done.met == (max_size is None or size <= max_size)
        if not done.met:
            assert all(one.pinned for one in left)
        if older_than is not None:
            assert all(one.pinned or time.time() - one.last_used <= limits.older_than + 60
                       for one in left)  # fmt: skip
        again = cache.prune(limits)
        assert (again.revisions, again.leftovers, again.freed) == ((), (), 0)
