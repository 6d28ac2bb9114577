"""Many processes, one cache: one fetches, the others wait, and nobody waits for the dead."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from counting import PIECE, Origin, running_origin

from pilotage.fetch import Phase, Store
from pilotage.fetch.store import Timing
from pilotage.fetch.store.lease import take_turn
from pilotage.fetch.store.owner import Owner

PROGRAM = Path(__file__).with_name("counting.py")
FAST = Timing(beat_s=0.05, lease_s=1.0, poll_s=0.02)
SILENT = Timing(beat_s=0.05, lease_s=0.3, poll_s=0.02)
"""Where no holder beats, so that none can be late."""
ELSEWHERE = str(Owner("0000deadbeef", 1, 1))


@pytest.fixture
def origin():
    with running_origin() as running:
        yield running


def start(origin: Origin, name: str, *how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), origin.url, name, *how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lease_of(path: Path, owner: str = ELSEWHERE) -> None:
    path.write_text(json.dumps({"owner": owner, "host": "far", "token": "t"}) + "\n")


def take(path: Path, timing: Timing = FAST, is_over=lambda: False, heard=None):
    return take_turn(path, timing, is_over, ([] if heard is None else heard).append)


def together(origin: Origin, home: Path, size: int) -> None:
    files = {"a/weights.safetensors": os.urandom(size), "config.json": b"{}"}
    origin.models["m"] = files
    with ExitStack() as stack:
        children = [stack.enter_context(start(origin, "m", "ready")) for _ in range(8)]
        for child in children:
            assert child.stdout.readline() == "started\n"
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        ends = [child.communicate(timeout=100) for child in children]
    assert [child.returncode for child in children] == [0] * 8, ends
    (path,) = {out.splitlines()[-1] for out, _ in ends}
    assert (Path(path) / "a/weights.safetensors").read_bytes() == files["a/weights.safetensors"]
    assert dict(origin.calls) == {"/m": 1, "/m/a/weights.safetensors": 1, "/m/config.json": 1}
    assert origin.served == size + 2
    assert list((home / "staging").iterdir()) == list((home / "leases").iterdir()) == []


def test_eight_processes_ask_the_origin_once(origin, home):
    together(origin, home, 3_000_000)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_eight_processes_ask_the_origin_once_for_500_megabytes(origin, home):
    together(origin, home, 500_000_000)


def test_who_waits_for_a_killed_process_goes_on_where_it_stopped(origin, home):
    origin.models["m"] = {"w": os.urandom(40 * PIECE)}
    with start(origin, "m", "stuck") as first, start(origin, "m", "ready") as second:
        while not first.stdout.readline().startswith(f"download w {2 * PIECE}"):
            pass
        second.stdin.write("go\n")
        second.stdin.flush()
        assert second.stdout.readline() == "started\n"
        assert second.stdout.readline().startswith(f"wait process {first.pid} on ")
        first.kill()
        first.wait()
        out, error = second.communicate(timeout=60)
    assert second.returncode == 0, error
    assert Path(out.splitlines()[-1]).read_bytes() == origin.models["m"]["w"]
    assert origin.calls["/m/w"] == 2
    # What the first had on the disk was not asked for again.
    assert origin.served == 40 * PIECE + 38 * PIECE


def test_a_failure_passes_the_turn_on_and_is_the_same_for_all(origin, home):
    with ExitStack() as stack:
        children = [stack.enter_context(start(origin, "none")) for _ in range(3)]
        ends = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [1, 1, 1]
    assert all("there is no such model" in error for _, error in ends)
    assert list((home / "leases").iterdir()) == []


def test_only_one_thread_at_a_time_has_the_turn(tmp_path):
    inside, most, turns = 0, 0, []

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with take(tmp_path / "lease") as turn:
                inside += 1
                most = max(most, inside)
                turns.append(turn.is_held)
                time.sleep(0.005)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, turns) == (1, [True] * 20)
    assert list(tmp_path.iterdir()) == []


def test_a_living_holder_is_waited_for_and_named(tmp_path):
    path, heard, order = tmp_path / "lease", [], []
    ready = threading.Event()

    def hold() -> None:
        with take(path):
            ready.set()
            time.sleep(1.5 * FAST.lease_s)
            order.append("held")

    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait()
    with take(path, heard=heard) as turn:
        order.append("waited")
        assert turn.is_held
    thread.join()
    assert order == ["held", "waited"], "the heartbeat keeps a lease longer than lease_s"
    assert [progress.phase for progress in heard] == [Phase.WAIT]
    assert heard[0].file.startswith(f"process {os.getpid()} on ")


def test_a_silent_holder_elsewhere_is_waited_for_and_then_not(tmp_path):
    lease_of(tmp_path / "lease")
    began = time.monotonic()
    with take(tmp_path / "lease", SILENT) as turn:
        assert turn.is_held
        assert str(Owner.me()) in (tmp_path / "lease").read_text()
    assert time.monotonic() - began >= SILENT.lease_s
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("skew", [-(10**6), 10**6])
def test_clocks_that_differ_do_not_matter(tmp_path, skew):
    path, stop = tmp_path / "lease", threading.Event()
    lease_of(path)

    def beat() -> None:
        step = 0
        while not stop.wait(0.05):
            step += 1
            os.utime(path, (time.time() + skew + step,) * 2)

    thread = threading.Thread(target=beat)
    thread.start()
    timing = Timing(lease_s=1.0, poll_s=0.02, wait_s=1.5)
    with take(path, timing) as turn:
        assert not turn.is_held, "a heartbeat that moves is a heartbeat, whatever time it says"
    stop.set()
    thread.join()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"owner": 3, "host": null}'])
def test_a_lease_that_says_nothing_is_outwaited(tmp_path, content):
    (tmp_path / "lease").write_text(content)
    heard = []
    with take(tmp_path / "lease", SILENT, heard=heard) as turn:
        assert turn.is_held
    assert heard[0].file == "another process"


def test_who_has_waited_long_enough_fetches_anyway_and_leaves_the_lease_alone(tmp_path):
    path = tmp_path / "lease"
    with (
        take(path) as first,
        take(path, Timing(beat_s=0.05, lease_s=9, poll_s=0.02, wait_s=0.2)) as second,
    ):
        assert (first.is_held, second.is_held) == (True, False)
        content = path.read_text()
    assert str(os.getpid()) in content
    assert not path.exists()


def test_a_revision_that_appears_ends_the_wait(tmp_path):
    lease_of(tmp_path / "lease")
    with take(tmp_path / "lease", Timing(lease_s=60), is_over=lambda: True) as turn:
        assert not turn.is_held
    assert (tmp_path / "lease").exists(), "it is another's"


def test_a_holder_that_makes_no_progress_loses_its_turn(tmp_path):
    stuck = Timing(beat_s=0.02, lease_s=0.3, stuck_s=0.1, poll_s=0.02)
    path = tmp_path / "lease"
    with take(path, stuck) as first, take(path, stuck) as second:
        assert first.is_held
        assert second.is_held
        theirs = path.read_text()
    assert theirs
    assert list(tmp_path.iterdir()) == []


def test_progress_keeps_the_turn(tmp_path):
    timing = Timing(beat_s=0.02, lease_s=1.0, stuck_s=0.5, poll_s=0.02, wait_s=1.5)
    path, stop = tmp_path / "lease", threading.Event()
    with take(path, timing) as first:
        listener = first.watching(lambda progress: None)

        def work() -> None:
            while not stop.wait(0.05):
                listener(None)

        thread = threading.Thread(target=work)
        thread.start()
        with take(path, timing) as second:
            assert not second.is_held
        stop.set()
        thread.join()


def test_a_holder_that_was_overtaken_does_not_take_the_other_s_lease_away(tmp_path):
    path = tmp_path / "lease"
    with take(path):
        path.unlink()
        lease_of(path)
    assert "far" in path.read_text()


def test_of_many_that_see_a_dead_holder_one_gets_the_turn(tmp_path):
    path = tmp_path / "lease"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    owner = Owner(Owner.me().place, gone.pid, 1)
    gone.wait()
    lease_of(path, str(owner))
    patient = Timing(lease_s=60, poll_s=0.001)
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        with take(path, patient):
            inside += 1
            most = max(most, inside)
            time.sleep(0.02)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert list(tmp_path.iterdir()) == []


def test_who_dies_while_breaking_a_lease_does_not_keep_it_for_ever(tmp_path):
    path = tmp_path / "lease"
    lease_of(path)
    marker = f"lease.{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    (tmp_path / marker).touch()
    with take(path, Timing(lease_s=0.2, poll_s=0.02)) as turn:
        assert turn.is_held
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_process_is_not_taken_for_a_dead_one(origin, home):
    origin.models["m"] = {"w": os.urandom(4 * PIECE)}
    with start(origin, "m", "stuck") as first:
        while not first.stdout.readline().startswith(f"download w {2 * PIECE}"):
            pass
        first.send_signal(signal.SIGSTOP)
        try:
            (left,) = Store(home).area.leftovers()
            assert left.is_in_use
            assert not left.may_be_taken
        finally:
            first.kill()
        first.wait()
        (left,) = Store(home).area.leftovers()
        assert left.may_be_taken
