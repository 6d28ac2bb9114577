"""An artifact is there whole or not at all; what an interrupted run did is kept."""

import os
import signal
import subprocess
import sys

import pytest

from pilotage.engines.compiled.artifact import check_output, drafting, write_whole
from pilotage.engines.compiled.manifest import MANIFEST, NetworkRecord, Operators
from pilotage.errors import StoreError, UsageError

KEY = "0123456789abcdef"


def network(file=None):
    return NetworkRecord(
        length=16, batch=1, compile_s=0, run_s=0, operators=Operators(total=1, taken=1), file=file
    )


class Whole:
    """Stands for a manifest: only its bytes matter here."""

    def encode(self):
        return b"{}"


def test_nothing_is_there_before_it_is_published(tmp_path):
    output = tmp_path / "artifact"
    with drafting(output, KEY) as draft:
        (draft.folder / "sub").mkdir()
        (draft.folder / "sub" / "file").write_bytes(b"1")
        assert list(draft.files()) == ["sub/file"]
        assert not output.exists()
        draft.publish(Whole(), replace=False)
    assert sorted(path.name for path in output.iterdir()) == [MANIFEST, "sub"]
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


def test_what_was_done_is_found_again(tmp_path):
    output = tmp_path / "artifact"
    with pytest.raises(RuntimeError), drafting(output, KEY) as draft:
        (draft.folder / "one").write_bytes(b"1")
        draft.finish(network("one"))
        raise RuntimeError("the power went")
    with drafting(output, KEY) as draft:
        assert draft.finished("16x1") == network("one")
        assert draft.finished("32x1") is None
        (draft.folder / "one").write_bytes(b"2")
        assert draft.finished("16x1") is None
        (draft.folder / ".done" / "16x1.json").write_bytes(b"{")
        assert draft.finished("16x1") is None
    with drafting(output, KEY[::-1]) as other:
        assert other.finished("16x1") is None
    draft.discard()
    other.discard()
    assert list(tmp_path.iterdir()) == []


def test_one_process_at_a_time(tmp_path):
    output = tmp_path / "artifact"
    with (
        drafting(output, KEY),
        pytest.raises(UsageError, match="another process"),
        drafting(output, KEY),
    ):
        pass


def test_killed_in_the_middle(tmp_path):
    output = tmp_path / "artifact"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from pilotage.engines.compiled.artifact import drafting\n"
        f"with drafting(Path({str(output)!r}), {KEY!r}) as draft:\n"
        "    (draft.folder / 'half').write_bytes(b'1'); print('here', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not output.exists()
    with drafting(output, KEY) as draft:  # the lock went with the process
        assert (draft.folder / "half").read_bytes() == b"1"


def test_what_is_there_is_not_overwritten(tmp_path):
    output = tmp_path / "artifact"
    check_output(output, replace=False)
    output.mkdir()
    (output / "mine").write_bytes(b"1")
    for replace in (False, True):
        with pytest.raises(UsageError, match="no compiled artifact"):
            check_output(output, replace=replace)
    (output / MANIFEST).write_bytes(b"{}")
    with pytest.raises(UsageError, match=r"there already.*--replace"):
        check_output(output, replace=False)
    with drafting(output, KEY) as draft:
        (draft.folder / "new").write_bytes(b"2")
        draft.publish(Whole(), replace=True)
    assert sorted(path.name for path in output.iterdir()) == [MANIFEST, "new"]
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


def test_something_came_meanwhile(tmp_path):
    output = tmp_path / "artifact"
    with pytest.raises(UsageError, match="no compiled artifact"), drafting(output, KEY) as draft:
        output.mkdir()
        draft.publish(Whole(), replace=False)
    assert list(output.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(StoreError, match=r"cannot be written.*--output"),
        drafting(tmp_path / "file" / "artifact", KEY),
    ):
        pass


def test_a_file_is_whole_or_not_there(tmp_path):
    write_whole(tmp_path / "file", b"one")
    write_whole(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
