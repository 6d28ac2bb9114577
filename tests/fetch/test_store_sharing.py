"""The same bytes once: between revisions, on filesystems with links and without."""

from __future__ import annotations

import hashlib
import os

import pytest

from pilotage.errors import ResourceError
from pilotage.fetch import FileEntry, Manifest, Phase, Store
from pilotage.fetch.store import copying

WEIGHTS = os.urandom(300_000)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


@pytest.fixture(params=["links", "reflinks or copies", "copies"])
def disk(request, monkeypatch):
    """What the filesystem can do; the last two as on a filesystem without links."""
    if request.param != "links":

        def refuse(*args, **kwargs):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(copying.os, "link", refuse)
    if request.param == "copies":
        monkeypatch.setattr(copying, "reflink", lambda source, target: False)
        monkeypatch.setattr("pilotage.fetch.store.blobs.reflink", lambda source, target: False)
    return request.param


def sha(data):
    return hashlib.sha256(data).hexdigest()


def manifest(source, files):
    return Manifest(source, "1", tuple(FileEntry(p, len(d), sha(d)) for p, d in files.items()))


def put(store, source, files):
    """Publish `files`, taking from the cache what it has; the paths that had to be written."""
    promised = manifest(source, files)
    present, missing = store.have(promised)
    with store.stage(source) as staging:
        missing += store.place(present, staging)
        for file in missing:
            (staging.files / file.path).parent.mkdir(parents=True, exist_ok=True)
            (staging.files / file.path).write_bytes(files[file.path])
        store.publish(staging, promised)
    assert store.open(source, verify=True)
    return [file.path for file in missing]


def blob(store, data):
    return store.blobs.path(sha(data))


def test_a_file_that_two_revisions_share_is_there_once(store):
    assert put(store, "hf://m@1", {"w": WEIGHTS, "a": b"1"}) == ["w", "a"]
    assert put(store, "hf://m@2", {"deep/w2": WEIGHTS, "a": b"2"}) == ["a"]
    one, two = (store.folder(f"hf://m@{n}") / "files" for n in (1, 2))
    assert (one / "w").samefile(two / "deep" / "w2")
    assert (one / "w").samefile(blob(store, WEIGHTS))
    assert (one / "w").stat().st_nlink == 3


def test_sharing_works_on_every_disk(store, disk):
    put(store, "hf://m@1", {"w": WEIGHTS})
    assert put(store, "hf://m@2", {"w": WEIGHTS, "x": b"x"}) == ["x"]
    one, two = (store.folder(f"hf://m@{n}") / "files" / "w" for n in (1, 2))
    assert one.samefile(two) == (disk == "links")
    if disk == "copies":
        assert list(store.blobs) == [], "a blob would take the room twice"


def test_a_cache_of_before_blobs_is_used_and_shared_from(store):
    put(store, "hf://m@1", {"w": WEIGHTS})
    blob(store, WEIGHTS).unlink()
    assert store.open("hf://m@1")
    assert put(store, "hf://m@2", {"w": WEIGHTS}) == []


def test_a_damaged_blob_is_not_shared(store):
    put(store, "hf://m@1", {"w": WEIGHTS})
    path = store.folder("hf://m@1") / "files" / "w"
    times = path.stat()
    path.write_bytes(bytes(len(WEIGHTS)))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert put(store, "hf://m@2", {"w": WEIGHTS}) == ["w"]
    assert blob(store, WEIGHTS).read_bytes() == WEIGHTS


def test_a_damaged_blob_that_nobody_asked_for_is_replaced(store):
    put(store, "hf://m@1", {"w": WEIGHTS})
    blob(store, WEIGHTS).write_bytes(b"damaged")
    with store.stage("hf://m@2") as staging:
        (staging.files / "w").write_bytes(WEIGHTS)
        store.publish(staging, manifest("hf://m@2", {"w": WEIGHTS}))
    assert store.open("hf://m@2", verify=True)
    assert blob(store, WEIGHTS).read_bytes() == WEIGHTS


def test_bytes_that_were_fetched_all_the_same_are_shared_too(store):
    """Two sources that promise no digest, as package indexes do."""
    put(store, "pypi://a==1/w", {"w": WEIGHTS})
    with store.stage("pypi://b==1/w") as staging:
        (staging.files / "w").write_bytes(WEIGHTS)
        store.publish(staging, manifest("pypi://b==1/w", {"w": WEIGHTS}))
    paths = [store.folder(f"pypi://{name}==1/w") / "files" / "w" for name in "ab"]
    assert paths[0].samefile(paths[1])
    heard = []
    assert store.open("pypi://b==1/w", progress=heard.append)
    assert heard == [], "its time is as READY says: nothing is hashed on opening"


def test_what_a_source_must_look_into_is_never_shared(store):
    put(store, "hf://m@1", {"config.json": b"{}", "w": WEIGHTS})
    assert put(store, "hf://m@2", {"config.json": b"{}", "w": WEIGHTS}) == ["config.json"]


def test_files_without_a_digest_or_with_another_size_are_missing(store):
    put(store, "hf://m@1", {"w": WEIGHTS})
    wanted = (
        FileEntry("a", len(WEIGHTS)),
        FileEntry("b", len(WEIGHTS) - 1, sha(WEIGHTS)),
        FileEntry("c", None, sha(WEIGHTS)),
        FileEntry("d", len(WEIGHTS), "0" * 64),
    )
    present, missing = store.have(Manifest("hf://m@2", "2", wanted))
    assert [(file.path, file.size) for file in present] == [("c", len(WEIGHTS))]
    assert [file.path for file in missing] == ["a", "b", "d"]
    assert blob(store, WEIGHTS).exists()


def test_looking_is_told_and_writes_nothing(store):
    put(store, "hf://m@1", {"w": WEIGHTS})
    heard = []
    store.have(manifest("hf://m@2", {"w": WEIGHTS}), progress=heard.append)
    assert {progress.phase for progress in heard} == {Phase.VERIFY}
    empty = Store(store.home / "other")
    assert empty.have(manifest("hf://m@2", {"w": WEIGHTS}))[0] == ()
    assert not empty.home.exists()


def test_a_file_that_goes_between_the_look_and_the_use_is_missing(store):
    put(store, "hf://m@1", {"w": WEIGHTS})
    present, _ = store.have(manifest("hf://m@2", {"w": WEIGHTS}))
    blob(store, WEIGHTS).unlink()
    (store.folder("hf://m@1") / "files" / "w").unlink()
    with store.stage("hf://m@2") as staging:
        assert store.place(present, staging) == present


def test_a_blob_is_write_protected_and_no_revision_writes_through_to_another(store):
    put(store, "hf://m@1", {"w": WEIGHTS})
    assert blob(store, WEIGHTS).stat().st_mode & 0o222 == 0


def test_no_room_for_a_copy_is_said_with_both_numbers(small_disk, monkeypatch):
    store = Store(small_disk)

    def refuse(*args, **kwargs):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(copying.os, "link", refuse)
    data = os.urandom(700_000)
    put(store, "hf://m@1", {"w": data})
    with pytest.raises(ResourceError, match=r"[\d,]+ bytes are needed, [\d,]+ are free"):
        put(store, "hf://m@2", {"w": data})
    assert store.open("hf://m@2") is None
