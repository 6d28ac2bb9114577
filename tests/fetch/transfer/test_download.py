from __future__ import annotations

import hashlib
import random
import resource
import threading
import time

import pytest
from transfer_origins import Fault, FaultyOrigin, QuickRetry, entry, manifest_of

from pilotage.errors import IntegrityError, ResourceError, SourceError, StoreError
from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.origin import ChangedError, NoRangesError
from pilotage.fetch.progress import Phase
from pilotage.fetch.retry import GaveUpError, Retry, RetryPolicy
from pilotage.fetch.transfer import TransferFolder, TransferOptions, download
from pilotage.fetch.transfer.journal import Journal

BIG = random.Random(1).randbytes(300_000)
FILES = {
    "sub/model.safetensors": BIG,
    "config.json": b'{"a": 1}',
    "empty": b"",
    "tokenizer.json": random.Random(2).randbytes(20_000),
}
SMALL_PARTS = TransferOptions(threads=4, part_bytes=16_384, buffer_bytes=4_096, stall_s=0.5)


@pytest.fixture
def folder(tmp_path):
    return TransferFolder(tmp_path / "files", tmp_path / "journal")


def run(origin, folder, *, manifest=None, options=SMALL_PARTS, **more):
    promised = manifest or manifest_of(origin.files)
    arrived = download(promised, origin, folder, retry=QuickRetry(), options=options, **more)
    promised.check_arrived(arrived)
    for path, data in origin.files.items():
        assert (folder.files / path).read_bytes() == data
        assert entry(path, data).sha256 in {file.sha256 for file in arrived.files}
    return arrived


def engine_threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("fetch-")}


def once(fault, *, at=3):
    return lambda number, *_: fault if number == at else None


def test_every_file_arrives_and_every_byte_is_asked_for_once(folder):
    origin = FaultyOrigin(FILES)
    run(origin, folder)
    assert origin.served == sum(map(len, FILES.values()))
    assert origin.requests[0][0] == "sub/model.safetensors", "big files begin"
    ranges = sorted(r[1:] for r in origin.requests if r[0] == "sub/model.safetensors")
    assert len(ranges) == -(-len(BIG) // 16_384)


def test_default_options_take_small_files_in_one_part(folder):
    origin = FaultyOrigin(FILES)
    run(origin, folder, options=TransferOptions())
    assert len(origin.requests) == 3


@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("buffer", [1, 1000, 1 << 20])
def test_any_thread_count_and_buffer(folder, threads, buffer):
    data = BIG[:5_000]
    options = TransferOptions(threads=threads, buffer_bytes=buffer, part_bytes=999)
    run(FaultyOrigin({"f": data}), folder, options=options)


@pytest.mark.parametrize("kind", ["git", "none"])
def test_weaker_promises_are_hashed_all_the_same(folder, kind):
    origin = FaultyOrigin(FILES)
    arrived = run(origin, folder, manifest=manifest_of(FILES, kind=kind))
    assert all(file.sha256 for file in arrived.files)
    assert all((file.git_sha1 is not None) == (kind == "git") for file in arrived.files)


@pytest.mark.parametrize("kind", ["refuse", "short", "reset", "socket", "hang"])
@pytest.mark.parametrize("after", [0, 5_000])
def test_one_failure_costs_only_what_was_missing(folder, kind, after):
    origin = FaultyOrigin(FILES, once(Fault(kind, after)))
    run(origin, folder)
    assert origin.served == sum(map(len, FILES.values()))
    path, start, _ = origin.requests[3]
    again = start + (0 if kind == "refuse" else after)
    assert (path, again) in [request[:2] for request in origin.requests[4:]], "went on from there"


def test_a_body_that_cannot_be_cut_is_left_behind(folder):
    origin = FaultyOrigin(FILES, once(Fault("hang", 5_000)), cuttable=False)
    try:
        run(origin, folder)
    finally:
        origin.release.set()
    lost = origin.served - sum(map(len, FILES.values()))
    assert lost == 5_000 % 2_048, "what that thread had in its buffer"


def test_an_origin_that_always_hangs_is_given_up(folder):
    origin = FaultyOrigin({"f": BIG}, lambda *_: Fault("hang"), cuttable=False)
    options = TransferOptions(threads=1, stall_s=0.05)
    try:
        with pytest.raises(SourceError, match="f: the origin stopped sending, 5 times in a row"):
            run(origin, folder, options=options)
    finally:
        origin.release.set()


def test_a_cut_stall_that_repeats_ends_with_the_retry_policy(folder):
    origin = FaultyOrigin({"f": BIG}, lambda *_: Fault("hang"))
    with pytest.raises(GaveUpError, match=r"f: no byte came for 0\.05 s"):
        run(origin, folder, options=TransferOptions(threads=1, stall_s=0.05))


@pytest.mark.parametrize("kind", ["refuse", "short", "reset"])
def test_an_origin_that_always_fails_is_given_up_and_what_arrived_is_kept(folder, kind):
    bad = FaultyOrigin(
        FILES, lambda _n, path, start, _stop: Fault(kind) if start >= 200_000 else None
    )
    with pytest.raises(GaveUpError):
        run(bad, folder)
    good = FaultyOrigin(FILES)
    run(good, folder)
    assert bad.served + good.served == sum(map(len, FILES.values()))


def test_a_drip_is_no_progress(folder):
    origin = FaultyOrigin({"f": BIG}, lambda *_: Fault("short", 10))
    with pytest.raises(GaveUpError, match="the origin ended after"):
        run(origin, folder)
    assert len(origin.requests) < 50


def test_steady_progress_outlasts_the_attempts(folder):
    origin = FaultyOrigin({"f": BIG}, lambda *_: Fault("short", 8_000))
    run(origin, folder)
    assert len(origin.requests) > 30


def test_a_permanent_error_ends_all(folder):
    def gone(_number, path, *_):
        return Fault("gone") if path == "tokenizer.json" else Fault("slow")

    origin = FaultyOrigin(FILES, gone, piece=512)
    before = engine_threads()
    with pytest.raises(SourceError, match="no such file"):
        run(origin, folder, options=TransferOptions(threads=4))
    assert origin.served < len(BIG)
    assert engine_threads() <= before, "the threads are gone"


def test_a_changed_file_is_discarded_and_the_others_are_kept(folder):
    def changed(_number, path, start, _stop):
        return Fault("changed") if path == "sub/model.safetensors" and start > 100_000 else None

    with pytest.raises(ChangedError):
        run(
            FaultyOrigin(FILES, changed),
            folder,
            options=TransferOptions(threads=1, part_bytes=16_384),
        )
    journal = Journal(folder.journal, manifest_of(FILES))
    journal.close()
    assert journal.extents(0) == []


@pytest.mark.parametrize("kind", ["sha256", "git"])
@pytest.mark.parametrize("at", [0, 7, 18])
def test_a_part_corrupted_once_is_found_and_replaced_alone(folder, kind, at):
    origin = FaultyOrigin(FILES, once(Fault("corrupt", 77), at=at))
    run(origin, folder, manifest=manifest_of(FILES, kind=kind))
    total = sum(map(len, FILES.values()))
    assert total < origin.served <= total + len(BIG) + 16_384


def test_a_corrupt_second_reading_does_not_spoil_a_good_part(folder):
    # Part 3 arrives corrupt; when parts are compared, the good part 1 is read corrupt.
    seen: dict[int, int] = {}

    def plan(_number, _path, start, _stop):
        seen[start] = seen.get(start, 0) + 1
        bad = {(3 * 16_384, 1), (16_384, 2)}
        return Fault("corrupt", 5) if (start, seen[start]) in bad else None

    run(FaultyOrigin({"f": BIG}, plan), folder)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_never_verifies_is_named_within_a_bound(folder, ranges):
    def plan(_number, path, start, stop):
        here = start <= 40_000 < stop
        return Fault("corrupt", 40_000 - start) if path.startswith("sub") and here else None

    origin = FaultyOrigin(FILES, plan, ranges=ranges)
    with pytest.raises(IntegrityError, match=r"sub/model.safetensors never verifies") as caught:
        run(origin, folder)
    wanted = hashlib.sha256(BIG).hexdigest()
    assert wanted in str(caught.value)
    assert origin.served < 4 * sum(map(len, FILES.values()))
    again = FaultyOrigin(FILES)
    run(again, folder)
    assert again.served <= sum(map(len, FILES.values())), "it begins anew, alone"


def test_random_corruption_gives_up_too(folder):
    chance = random.Random(3)
    origin = FaultyOrigin({"f": BIG}, lambda *_: Fault("corrupt", chance.randrange(16_384)))
    with pytest.raises(IntegrityError, match="f never verifies: every part of it was read 2 times"):
        run(origin, folder)


def test_without_ranges_files_come_whole(folder):
    origin = FaultyOrigin(FILES, ranges=False)
    run(origin, folder)
    assert ("sub/model.safetensors", 0, len(BIG)) in origin.requests


def test_without_ranges_a_broken_file_begins_again(folder):
    origin = FaultyOrigin({"f": BIG}, once(Fault("short", 200_000), at=0), ranges=False)
    options = TransferOptions(threads=2)
    run(origin, folder, options=options)
    assert origin.requests == [("f", 0, len(BIG)), ("f", 200_000, len(BIG)), ("f", 0, len(BIG))]


def test_without_ranges_an_endless_break_is_given_up(folder):
    origin = FaultyOrigin({"f": BIG}, lambda *_: Fault("short", 250_000), ranges=False)
    with pytest.raises(GaveUpError):
        run(origin, folder, options=TransferOptions(threads=2))
    assert len(origin.requests) < 10


def test_an_origin_that_does_not_even_give_whole_files(folder):
    class Nothing(FaultyOrigin):
        def read(self, *_):
            raise NoRangesError("ranges are ignored")

    with pytest.raises(NoRangesError):
        run(Nothing({"f": BIG}), folder)


def test_a_whole_folder_given_again_is_only_hashed(folder):
    run(FaultyOrigin(FILES), folder)
    silent = FaultyOrigin(FILES)
    run(silent, folder)
    assert silent.requests == []


def test_what_a_crash_left_unwritten_is_fetched_again_alone(folder):
    for kind in ("sha256", "none"):
        run(FaultyOrigin(FILES), folder, manifest=manifest_of(FILES, kind=kind))
        with (folder.files / "sub/model.safetensors").open("r+b") as file:
            file.seek(100_000)
            file.write(bytes(1_000))
        origin = FaultyOrigin(FILES)
        run(origin, folder, manifest=manifest_of(FILES, kind=kind))
        assert 0 < origin.served <= 16_384


@pytest.mark.parametrize("damage", ["missing", "short", "link"])
def test_files_that_went_missing_are_fetched_again(folder, damage, tmp_path):
    run(FaultyOrigin(FILES), folder)
    path = folder.files / "tokenizer.json"
    if damage == "short":
        path.write_bytes(b"short")
    else:
        path.unlink()
    if damage == "link":
        outside = tmp_path / "outside"
        outside.write_bytes(bytes(20_000))
        path.symlink_to(outside)
        with pytest.raises(StoreError):
            run(FaultyOrigin(FILES), folder)
        assert outside.read_bytes() == bytes(20_000)
        return
    origin = FaultyOrigin(FILES)
    run(origin, folder)
    assert origin.served == 20_000


def test_another_revision_begins_anew(folder):
    run(FaultyOrigin({"f": BIG}), folder)
    other = {"f": bytes(len(BIG))}
    origin = FaultyOrigin(other)
    run(origin, folder, manifest=manifest_of(other, commit="rev2"))
    assert origin.served == len(BIG)


def test_a_resume_with_other_parts_fetches_the_rest_only(folder):
    bad = FaultyOrigin({"f": BIG}, lambda n, *_: Fault("gone") if n >= 6 else None)
    with pytest.raises(SourceError):
        run(bad, folder)
    good = FaultyOrigin({"f": BIG})
    run(good, folder, options=TransferOptions(threads=2, part_bytes=50_000, buffer_bytes=999))
    assert bad.served + good.served == len(BIG)


def test_the_deadline_ends_it_and_what_arrived_is_kept(folder):
    slow = FaultyOrigin({"f": BIG}, lambda *_: Fault("slow"), piece=500)
    options = TransferOptions(threads=2, part_bytes=16_384, deadline_s=0.3)
    with pytest.raises(SourceError, match=r"not finished within 0.3 s: [\d,]+ of 300,000 bytes"):
        run(slow, folder, options=options)
    good = FaultyOrigin({"f": BIG})
    run(good, folder)
    assert slow.served + good.served == len(BIG)


def test_the_deadline_also_ends_a_hanging_read(folder):
    origin = FaultyOrigin({"f": BIG}, lambda *_: Fault("hang", 10), cuttable=False)
    try:
        with pytest.raises(SourceError, match="not finished within"):
            run(origin, folder, options=TransferOptions(deadline_s=0.2))
    finally:
        origin.release.set()


def test_it_can_be_cancelled(folder):
    cancelled = threading.Event()
    origin = FaultyOrigin({"f": BIG}, lambda *_: Fault("hang", 10))

    def hear(_progress):
        cancelled.set()

    with pytest.raises(SourceError, match="the fetch was cancelled"):
        run(origin, folder, cancelled=cancelled, progress=hear)


@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError])
def test_an_interrupt_ends_the_threads_and_keeps_what_arrived(folder, error):
    origin = FaultyOrigin({"f": BIG}, lambda n, *_: Fault("hang", 10) if n > 5 else None)
    before = engine_threads()

    def hear(progress):
        if progress.done > 20_000:
            raise error

    with pytest.raises(error):
        run(origin, folder, progress=hear, options=TransferOptions(threads=4, part_bytes=16_384))
    assert engine_threads() <= before
    good = FaultyOrigin({"f": BIG})
    run(good, folder)
    assert origin.served + good.served == len(BIG)


def test_what_a_left_behind_thread_reads_late_is_not_written(folder):
    """It wakes up after the end, with other bytes: nothing on disk may change."""

    origin = FaultyOrigin({"f": BIG}, once(Fault("hang", 5_000), at=1), cuttable=False)
    run(origin, folder)
    origin.files["f"] = bytes(len(BIG))
    origin.release.set()
    for thread in engine_threads():
        thread.join(5)
    assert (folder.files / "f").read_bytes() == BIG


def test_progress_adds_up(folder):
    heard = []
    origin = FaultyOrigin(FILES, once(Fault("reset", 100)))
    run(origin, folder, progress=heard.append)
    last = heard[-1]
    total = sum(map(len, FILES.values()))
    assert (last.phase, last.done, last.total) == (Phase.VERIFY, total, total)
    assert (last.files_done, last.files_total) == (len(FILES), len(FILES))
    assert (last.received, last.retries) == (total, 1)


def test_no_room_is_refused_before_the_first_byte(folder):
    origin = FaultyOrigin({"f": BIG})
    promised = Manifest("test://model", "1", (FileEntry("f", 1 << 60),))
    with pytest.raises(ResourceError, match=r"1,152,921,504,606,846,976 bytes are needed"):
        download(promised, origin, folder, retry=QuickRetry())
    assert origin.requests == []


def test_a_full_disk_is_said_and_nothing_hangs(small_disk):
    origin = FaultyOrigin({"f": BIG, "g": BIG + b"x"})
    promised = manifest_of(origin.files)

    def fill(_number, path, *_):
        (small_disk / "others").write_bytes(bytes(900_000 - 600_002))

    origin.plan = fill
    options = TransferOptions(threads=1, part_bytes=16_384)
    with pytest.raises(ResourceError):
        for _ in range(2):
            (small_disk / "others").write_bytes(bytes(600_000))
            download(promised, origin, small_disk / "files", retry=QuickRetry(), options=options)


def test_a_folder_that_cannot_be_written(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(StoreError):
        download(manifest_of(FILES), FaultyOrigin(FILES), blocked / "x", retry=QuickRetry())


def test_a_size_must_be_known(folder):
    promised = Manifest("test://model", "1", (FileEntry("f"),))
    with pytest.raises(SourceError, match="does not say how large f is"):
        download(promised, FaultyOrigin({"f": b""}), folder, retry=QuickRetry())


def test_a_bug_is_not_hidden(folder):
    class Broken(FaultyOrigin):
        def read(self, *_):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(Broken({"f": BIG}), folder)


def test_measuring_without_hashing_names_no_digest(folder):
    options = TransferOptions(hashing=False)
    arrived = download(
        manifest_of(FILES), FaultyOrigin(FILES), folder, retry=QuickRetry(), options=options
    )
    assert {file.sha256 for file in arrived.files} == {None}
    with pytest.raises(IntegrityError):
        manifest_of(FILES).check_arrived(arrived)


def test_threads_do_not_pile_up(folder):
    before = engine_threads()
    for _ in range(3):
        run(FaultyOrigin(FILES), folder)
    assert engine_threads() <= before


class PatientRetry(Retry):
    """Waits for an hour after a failure, but can be woken."""

    def __init__(self, sleep=time.sleep):
        super().__init__(RetryPolicy(base_s=3600, cap_s=3600), sleep=sleep, uniform=lambda _, b: b)
        self.policy = RetryPolicy(base_s=3600, cap_s=3600, budget_s=1e9)

    def sleeping(self, sleep):
        return PatientRetry(sleep)


def test_waits_for_the_origin_end_with_the_transfer(folder):
    before = engine_threads()
    origin = FaultyOrigin({"f": BIG}, lambda *_: Fault("refuse"))
    options = TransferOptions(threads=4, part_bytes=16_384, deadline_s=0.2)
    with pytest.raises(SourceError, match=r"gave up|not finished"):
        download(manifest_of(origin.files), origin, folder, retry=PatientRetry(), options=options)
    cancelled = threading.Event()

    def hear(progress):
        if progress.retries >= 4:
            cancelled.set()

    with pytest.raises(SourceError, match="cancelled"):
        download(
            manifest_of(origin.files),
            origin,
            folder,
            retry=PatientRetry(),
            options=TransferOptions(threads=4, part_bytes=16_384),
            progress=hear,
            cancelled=cancelled,
        )
    assert engine_threads() <= before


def test_thousands_of_small_files_need_few_descriptors(folder):
    files = {f"part/{n}.json": b"%d" % n for n in range(1500)}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(200, hard), hard))
    try:
        run(FaultyOrigin(files), folder)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
